// Random texts: words drawn uniformly from a vocabulary, a pure function of seed and sample number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace memcap::text {

/// So many words are drawn for a text of N tokens (the paper's code): any word is at least one token.
inline constexpr std::size_t kWordsPerToken = 5;

/// Reads a vocabulary file, one word a line, empty lines left out; throws DataError where a line holds
/// several words, the file is not UTF-8 or has no word.
std::vector<std::string> read_vocabulary(const std::filesystem::path& path);

/// Random sample `index` under `seed`: so many words, joined by spaces, from the stream (seed, index,
/// "words"). A longer text extends the shorter one. The vocabulary must not be empty.
std::string random_text(std::span<const std::string> vocabulary, std::uint64_t seed, std::uint64_t index,
                        std::size_t words);

/// The length N of random sample `index` under `seed`, in tokens: uniform in lowest..highest, both included,
/// from the stream (seed, index, "length").
std::int32_t random_length(std::uint64_t seed, std::uint64_t index, std::int32_t lowest,
                           std::int32_t highest);

}  // namespace memcap::text
