// From the samples of a corpus to token ids: texts cut on the right, prefixes on the left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "memcap/text/corpus.hpp"
#include "memcap/text/tokenizer_client.hpp"

namespace memcap::text {

/// One sample in token ids.
struct TokenisedSample {
    std::vector<std::int32_t> text;    ///< what the tokenizer puts before a text, then the text's own tokens
    std::vector<std::int32_t> prefix;  ///< its own tokens; a prefix of n tokens is the last n of these
    std::string problem;               ///< why it cannot be encoded; it has no tokens then
};

/// The samples of a corpus in the tokens of one model.
struct TokenisedCorpus {
    std::vector<TokenisedSample> samples;
    TokenizerFacts tokenizer;
    std::map<std::size_t, std::vector<std::string>> spelled;  ///< as in EncodedTexts, of texts and prefixes
    bool splits_special = true;
    std::string differs;  ///< as in EncodedTexts
};

/// The longest text and prefix that will be asked for, in tokens.
struct TokenLimits {
    std::size_t text = 0;
    std::size_t prefix = 0;
};

/// Tokenises samples for the model folder `tokenizer`. A text keeps its first `limits.text` ids (where there
/// are prefixes, so many of its own behind what opens it): trials of smaller N take the first of these. A
/// prefix is tokenised with what stands between it and the text, without special tokens, and keeps its last
/// `limits.prefix` ids (the paper's context ablation: prefix text + " "). What is shorter than its limit
/// comes whole. Throws what the client throws.
TokenisedCorpus tokenise(TokenizerClient& client, const std::filesystem::path& tokenizer,
                         std::span<const SampleText> samples, const TokenLimits& limits);

}  // namespace memcap::text
