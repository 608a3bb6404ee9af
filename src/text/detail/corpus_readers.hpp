// The readers of the corpus kinds that come from files; adding one is a file and a line in corpus.cpp.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/text/corpus.hpp"

namespace memcap::text::detail {

/// A sample as its file has it.
struct RawSample {
    std::string text;
    std::optional<std::string> prefix;  ///< of a file that has ready-made prefixes
    std::string source;                 ///< as in SampleText
};

struct RawCorpus {
    std::vector<RawSample> samples;
    std::vector<LeftOut> left_out;
};

/// What is wrong with the texts of a corpus, gathered so that all are named at once.
class BadTexts {
  public:
    explicit BadTexts(std::filesystem::path path) : path_(std::move(path)) {}

    void add(const DataError& error) { errors_.push_back(error); }
    std::size_t count() const noexcept { return errors_.size(); }
    /// Throws the error of a single bad text as it is, and one about all where there are several.
    void throw_if_any() const;

  private:
    std::filesystem::path path_;
    std::vector<DataError> errors_;
};

/// Each reads at most `limit` samples from the first, bad ones counted, and throws DataError as read_corpus
/// says.
RawCorpus read_text_samples(const std::filesystem::path& path, std::size_t limit);
RawCorpus read_csv_samples(const std::filesystem::path& path, std::size_t limit);
RawCorpus read_jsonl_samples(const std::filesystem::path& path, std::size_t limit);

}  // namespace memcap::text::detail
