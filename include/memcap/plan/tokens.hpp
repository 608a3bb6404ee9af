// Tokens as plain values: which ones a plan needs, and how they come.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memcap/base/ids.hpp"
#include "memcap/config/experiment.hpp"

namespace memcap::plan {

/// Tokens that a plan needs: the samples of one corpus in one model's vocabulary.
struct TokenRequest {
    std::string model;
    std::string corpus;
    std::optional<std::uint64_t> seed;  ///< random words only: their texts depend on it
    std::int32_t samples = 0;           ///< the first so many; 0 = all there are
    std::int32_t text_tokens = 0;       ///< the longest text that a trial uses, its special tokens included
    std::int32_t prefix_tokens = 0;     ///< the longest prefix that a trial uses

    bool operator==(const TokenRequest&) const = default;
};

/// The tokens of one sample.
struct TokenSample {
    std::vector<std::int32_t> text;  ///< its first tokens: as many as asked for (where a prefix is, besides
                                     ///< those that open it), or all there are
    std::vector<std::int32_t>
        prefix;                ///< the last tokens of its other half: as many as asked for, or all there are
    std::int32_t opening = 0;  ///< so many tokens open the text; where a prefix stands they leave it
    std::vector<std::int32_t> lead = {};  ///< and these open the prefix: they count among its tokens
    std::string source = {};              ///< the file it came from
    std::string problem = {};             ///< why it has no tokens
};

/// The `prefix_tokens` tokens that a trial has before its text: what opens the input, then the last ones of
/// the other half. The sample must have them.
std::vector<std::int32_t> prefix_of(const TokenSample& sample, std::int32_t prefix_tokens);

/// All tokens that a text behind such a prefix may have; a trial of length N has the first N.
std::span<const std::int32_t> text_of(const TokenSample& sample, std::int32_t prefix_tokens);

/// The answer to a request. Longer token lists and more samples than asked for do no harm.
struct TokenTable {
    std::string model;
    std::string corpus;
    std::optional<std::uint64_t> seed;
    Id128 id;  ///< names the file in tokens/
    std::vector<TokenSample> samples;
};

/// One request a pair of model and corpus (random words: and seed), in the order of their first use.
std::vector<TokenRequest> token_requests(const config::Experiment& experiment);

/// N of random sample `sample` under `seed`: uniform over lowest..highest, both included, lowest <= highest.
std::int32_t drawn_length(std::uint64_t seed, std::int32_t sample, std::int32_t lowest, std::int32_t highest);

}  // namespace memcap::plan
