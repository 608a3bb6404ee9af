// The objective of a trial: which position predicts which token. The one place of label alignment.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memcap/plan/trial.hpp"

namespace memcap::memory {

/// A scored prediction.
struct ScoredPosition {
    std::int32_t position = 0;  ///< index into the input
    std::int32_t target = 0;    ///< the token that its logits should name
};

/// Memory, prefix and text lie one after the other; the last text token is never fed, since nothing after it
/// is predicted. Position p predicts the token at p + 1 (arXiv 2502.13063, published code: logits at the
/// memory are dropped, then the usual shift).
struct Objective {
    std::int32_t memory_vectors = 0;         ///< K: positions 0 .. K-1; 0 for the model without memory
    std::vector<std::int32_t> input_tokens;  ///< prefix and text without its last token: positions K ..
    std::vector<ScoredPosition> scored;      ///< in text order

    std::int32_t positions() const { return memory_vectors + static_cast<std::int32_t>(input_tokens.size()); }
};

/// What a trial optimises: K vectors before its tokens, scored by its protocol's target.
Objective objective_of(const plan::Trial& trial);

/// The frozen model without memory on the same tokens; tok_1 has no prediction there and is never scored.
Objective objective_without_memory(std::span<const std::int32_t> prefix, std::span<const std::int32_t> text);

}  // namespace memcap::memory
