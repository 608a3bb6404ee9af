// The readers of the corpus kinds that come from files; adding one is a file and a line in corpus.cpp.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace memcap::text::detail {

/// A sample as its file has it.
struct RawSample {
    std::string text;
    std::optional<std::string> prefix;  ///< of a file that has ready-made prefixes
};

/// Each reads at most `limit` samples from the first and throws DataError as read_corpus says.
std::vector<RawSample> read_text_samples(const std::filesystem::path& path, std::size_t limit);
std::vector<RawSample> read_csv_samples(const std::filesystem::path& path, std::size_t limit);
std::vector<RawSample> read_jsonl_samples(const std::filesystem::path& path, std::size_t limit);

}  // namespace memcap::text::detail
