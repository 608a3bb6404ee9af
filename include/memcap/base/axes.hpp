// The tuple of axes that places a trial in an experiment: one row of the result tables.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "memcap/base/protocol.hpp"

namespace memcap {

struct Axes {
    std::string model;   ///< its name in the experiment file
    std::string corpus;  ///< its name in the experiment file
    std::int32_t sample = 0;
    std::uint64_t seed = 0;
    std::int32_t memory_vectors = 0;  ///< K
    std::int32_t length = 0;          ///< N, tokens in the text
    std::int32_t prefix = 0;          ///< visible, unscored tokens between memory and text
    std::string protocol;             ///< its name in the experiment file
    Precision precision = Precision::float32;

    auto operator<=>(const Axes&) const = default;
};

}  // namespace memcap
