// Theoretical capacity: the tokens that the bits of the memory vectors could name.
#pragma once

#include <cstdint>

namespace memcap::metrics {

/// Bits of each number of a memory vector that count towards the theoretical capacity (the paper's b).
inline constexpr double kBitsPerNumber = 16.0;

/// K * E * 16 / log2(V) tokens (arXiv 2502.13063, section 3); NaN for a vocabulary of less than two.
double theoretical_capacity_tokens(std::int32_t memory_vectors, std::int32_t memory_width,
                                   std::int64_t vocabulary_size);

}  // namespace memcap::metrics
