// Sums of lengths, and positions counted anew in each run.
#include "memcap/nn/segments.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "memcap/base/contracts.hpp"

namespace memcap::nn {

Segments::Segments(const std::vector<std::int64_t>& lengths, at::Device device) {
    std::vector<std::int64_t> positions;
    for (const std::int64_t length : lengths) {
        MEMCAP_EXPECT(length >= 1);
        for (std::int64_t t = 0; t < length; ++t) positions.push_back(t);
        firsts_.push_back(firsts_.back() + length);
        longest_ = std::max(longest_, length);
    }
    positions_ = at::tensor(positions, at::kLong).to(device);
}

Segments Segments::uniform(std::int64_t slots, std::int64_t positions, at::Device device) {
    return {std::vector<std::int64_t>(static_cast<std::size_t>(slots), positions), device};
}

}  // namespace memcap::nn
