// Decoding capacity: how long a text may be and still come back from its memory vectors.
#pragma once

#include <cstdint>
#include <span>

#include "memcap/metrics/outcome.hpp"

namespace memcap::metrics {

/// What makes a length count as decoded.
enum class CapacityRule : std::uint8_t {
    mean_accuracy,  ///< mean accuracy over the trials of the length >= 0.99 (the paper's)
    all_exact,      ///< every trial has every scored token right
};

/// How the lengths of a corpus came about.
enum class LengthKind : std::uint8_t {
    grid,   ///< each length has many trials: all of them speak for it
    drawn,  ///< random text whose samples have lengths of their own: the longest single trial counts
};

struct DecodingCapacity {
    std::int32_t tokens = 0;  ///< the largest length that is decoded; 0: none
    bool cut = false;         ///< it is the largest length tried, so the capacity may be higher
};

/// The decoding capacity of one cell (arXiv 2502.13063, section 3: mean accuracy of at least 0.99; random
/// text with drawn lengths: the longest trial). Failed trials are left out.
DecodingCapacity decoding_capacity(std::span<const Outcome> outcomes, LengthKind lengths, CapacityRule rule);

}  // namespace memcap::metrics
