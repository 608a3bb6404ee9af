// Single evaluations: a text without memory, a stored vector, and the text that a vector gives back.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "memcap/memory/objective.hpp"
#include "memcap/models/causal_lm.hpp"

namespace memcap::memory {

/// Loss and accuracy over the scored tokens of one text.
struct Evaluation {
    double loss_nats = 0.0;  ///< mean over the scored tokens; NaN if there are none
    double accuracy = 0.0;
    std::int32_t correct_tokens = 0;
    std::int32_t scored_tokens = 0;
};

/// One forward pass of one text. memory: [K, E] row-major, float32; empty for K = 0.
Evaluation evaluate(const models::CausalLM& model, const Objective& objective, std::span<const float> memory);

/// The `count` tokens that follow greedily from memory, prefix and `given` first text tokens. Each pass has
/// the same shape as evaluate() of the whole text, so both see the same rounding.
std::vector<std::int32_t> decode_greedily(const models::CausalLM& model, std::span<const float> memory,
                                          std::int32_t memory_vectors, std::span<const std::int32_t> prefix,
                                          std::span<const std::int32_t> given, std::int32_t count);

}  // namespace memcap::memory
