// The table of corpus kinds, and what all of them share: counting samples, halves, prefixes.
#include "memcap/text/corpus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <limits>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/text/random_words.hpp"
#include "text/detail/corpus_readers.hpp"

namespace memcap::text {

namespace {

using Reader = detail::RawCorpus (*)(const std::filesystem::path&, std::size_t);

Reader reader_of(CorpusKind kind) {
    switch (kind) {
        case CorpusKind::text:
            return detail::read_text_samples;
        case CorpusKind::csv:
            return detail::read_csv_samples;
        case CorpusKind::jsonl:
            return detail::read_jsonl_samples;
        case CorpusKind::random_words:
            break;
    }
    fail_contract("expected", "a corpus kind that is read from a file", __FILE__, __LINE__);
}

Corpus random_corpus(const TextSource& source) {
    MEMCAP_EXPECT(source.samples > 0 && source.length > 0);
    const auto vocabulary = read_vocabulary(source.path);
    Corpus corpus;
    for (std::size_t i = 0; i < source.samples; ++i) {
        corpus.samples.push_back(
            {.text = random_text(vocabulary, source.seed, i, kWordsPerToken * source.length)});
    }
    return corpus;
}

void check_sample_count(const TextSource& source, std::size_t found) {
    if (found >= std::max<std::size_t>(source.samples, 1)) return;
    if (source.samples == 0) {
        throw DataError(source.path, {.what = "the file has no samples",
                                      .where = {},
                                      .why = "there is nothing after the first line",
                                      .advice = "Add texts or name another file"});
    }
    throw DataError(source.path, {.what = fmt::format("{} samples are asked for", source.samples),
                                  .where = {},
                                  .why = fmt::format("there {} {}", found == 1 ? "is" : "are", found),
                                  .advice = "Lower `samples` in the experiment file or add texts"});
}

Corpus halved_corpus(std::span<const detail::RawSample> raw, const TextSource& source,
                     const SplitSentences& split) {
    std::vector<std::string> texts;
    for (const auto& sample : raw) texts.push_back(sample.text);
    Corpus corpus{.samples = {}, .prefixes = Prefixes::other_half, .left_out = {}};
    const auto sentences = split(texts, source.sentences);
    MEMCAP_ENSURE(sentences.size() == raw.size());
    for (std::size_t i = 0; i < raw.size(); ++i) {
        auto [first, second, joint] = halve(texts[i], sentences[i], source.joined);
        if (source.part == Part::first_half) std::swap(first, second);
        corpus.samples.push_back({.text = std::move(second),
                                  .prefix = std::move(first),
                                  .joint = std::move(joint),
                                  .source = raw[i].source});
    }
    return corpus;
}

}  // namespace

bool is_text_name(const std::filesystem::path& file) {
    std::string ending = file.extension().string();
    std::ranges::transform(ending, ending.begin(), [](unsigned char letter) { return std::tolower(letter); });
    return ending == ".txt";
}

Corpus read_corpus(const TextSource& source, const SplitSentences& split) {
    if (source.kind == CorpusKind::random_words) return random_corpus(source);
    const auto limit = source.samples > 0 ? source.samples : std::numeric_limits<std::size_t>::max();
    auto [raw, left_out] = reader_of(source.kind)(source.path, limit);
    check_sample_count(source, raw.size());

    Corpus corpus;
    if (raw.front().prefix.has_value() || source.part == Part::all) {
        if (raw.front().prefix.has_value()) corpus.prefixes = Prefixes::ready_made;
        for (auto& sample : raw) {
            corpus.samples.push_back({.text = std::move(sample.text),
                                      .prefix = std::move(sample.prefix).value_or(""),
                                      .source = std::move(sample.source)});
        }
    } else {
        corpus = halved_corpus(raw, source, split);
    }
    corpus.left_out = std::move(left_out);
    return corpus;
}

}  // namespace memcap::text
