// Corpora: the samples of an experiment as plain texts, with the prefix that goes before each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "memcap/text/sentences.hpp"

namespace memcap::text {

/// Where the texts of a corpus come from.
enum class CorpusKind {
    text,         ///< a folder: one sample a file with is_text_name(), in name order; a file: one sample
    csv,          ///< column `text`; a column `prefix` beside it makes the texts ready-made
    jsonl,        ///< one JSON object a line, key `text`
    random_words  ///< words drawn uniformly from a vocabulary file
};

/// A corpus to read.
struct TextSource {
    CorpusKind kind = CorpusKind::text;
    std::filesystem::path path;  ///< file or folder; of random_words the vocabulary, one word a line
    Part part = Part::second_half;
    SentenceRule sentences = SentenceRule::rule;
    Joined joined = Joined::as_written;
    std::size_t samples = 0;  ///< how many, from the first; 0: all there are (random_words needs a number)
    std::uint64_t seed = 0;   ///< of random_words: the trial's seed
    std::size_t length = 0;   ///< of random_words: the longest text that will be asked for, in tokens
};

/// One sample: the text to be compressed, and what may stand visible before it.
struct SampleText {
    std::string text;
    std::string prefix = {};  ///< the other half of the sentences, or the file's own; empty where none is
    std::string joint = " ";  ///< what stands between a prefix and the text; the paper's space if ready-made
    std::string source = {};  ///< the file it came from, of a table with the line: "a.txt", "chunks.csv:12"
};

/// Something in a corpus folder that is no sample.
struct LeftOut {
    std::string name;  ///< relative to the folder
    std::string why;   ///< "a hidden file"
    bool operator==(const LeftOut&) const = default;
};

/// Whether the samples of a corpus have prefixes at all (`part: all` and random words have none).
enum class Prefixes { none, other_half, ready_made };

struct Corpus {
    std::vector<SampleText> samples;
    Prefixes prefixes = Prefixes::none;
    std::vector<LeftOut> left_out;  ///< in name order
};

/// Whether a file of a corpus folder is a sample by its name: it ends in .txt, in letters of either case.
bool is_text_name(const std::filesystem::path& file);

/// Splits texts into sentences, one list a text; TokenizerClient::split in a run.
using SplitSentences =
    std::function<std::vector<std::vector<std::string>>(std::span<const std::string>, SentenceRule)>;

/// Reads a corpus. `split` is called only where halves are needed. Throws DataError for a file that cannot be
/// read, is no text (a pointer of Git LFS, UTF-16, NUL bytes, not UTF-8), is malformed (with line and byte),
/// lacks a column or key, or has too few samples; all texts that are wrong are named in one error.
Corpus read_corpus(const TextSource& source, const SplitSentences& split);

}  // namespace memcap::text
