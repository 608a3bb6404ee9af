// Theoretical capacity.
#include "memcap/metrics/theoretical_capacity.hpp"

#include <cmath>
#include <limits>

namespace memcap::metrics {

double theoretical_capacity_tokens(std::int32_t memory_vectors, std::int32_t memory_width,
                                   std::int64_t vocabulary_size) {
    if (vocabulary_size < 2) return std::numeric_limits<double>::quiet_NaN();
    const double bits = static_cast<double>(memory_vectors) * memory_width * kBitsPerNumber;
    return bits / std::log2(static_cast<double>(vocabulary_size));
}

}  // namespace memcap::metrics
