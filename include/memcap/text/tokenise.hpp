// From the samples of a corpus to token ids: texts cut on the right, prefixes on the left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "memcap/text/corpus.hpp"
#include "memcap/text/tokenizer_client.hpp"

namespace memcap::text {

/// One sample in token ids.
struct TokenisedSample {
    std::vector<std::int32_t> text;  ///< with the tokenizer's own special tokens
    std::vector<std::int32_t>
        prefix;  ///< without special tokens; a prefix of n tokens is the last n of these
};

/// The longest text and prefix that will be asked for, in tokens.
struct TokenLimits {
    std::size_t text = 0;
    std::size_t prefix = 0;
};

/// Tokenises samples for the model folder `tokenizer`. A text keeps its first `limits.text` ids: trials of
/// smaller N take the first N of these. A prefix is tokenise(prefix text + " ") without special tokens and
/// keeps its last `limits.prefix` ids (the paper's context ablation). What is shorter than its limit comes
/// whole. Throws what the client throws.
std::vector<TokenisedSample> tokenise(TokenizerClient& client, const std::filesystem::path& tokenizer,
                                      std::span<const SampleText> samples, const TokenLimits& limits);

}  // namespace memcap::text
