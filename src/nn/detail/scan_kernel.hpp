// The selective scan of one row and one run of channels on a CPU.
#pragma once

#include <cstdint>

namespace memcap::nn::detail {

/// Channels that are computed side by side: two registers of AVX2, one of AVX-512.
inline constexpr std::int64_t kLanes = 16;
/// Positions whose states are recomputed together in the backward; its buffers then fit the first cache.
inline constexpr std::int64_t kChunk = 16;

/// One row of a batch and `channels` neighbouring channels of one group. Pointers point at position 0 and at
/// the first of these channels; strides are in elements.
struct ScanTask {
    std::int64_t positions = 0;
    std::int64_t channels = 0;
    std::int64_t states = 0;  ///< S
    bool one_decay = false;   ///< decay is [C, 1]
    const float* x = nullptr;
    const float* step = nullptr;
    std::int64_t channel_stride = 0;  ///< from a position to the next in x, step, y and their gradients
    const float* input = nullptr;
    const float* output = nullptr;
    std::int64_t state_stride = 0;  ///< from a position to the next in input and output
    const float* decay = nullptr;   ///< [channels, S] or [channels, 1]
    const float* skip = nullptr;    ///< [channels]
};

/// Writes y, which has the layout of x.
void scan_forward(const ScanTask& task, float* y);

/// Where the gradients go. Those of input and output are sums over this task's channels alone, [T, S] each.
struct ScanGradients {
    const float* y = nullptr;  ///< the gradient that comes in, in the layout of x
    float* x = nullptr;
    float* step = nullptr;
    float* input = nullptr;
    float* output = nullptr;
};

void scan_backward(const ScanTask& task, const ScanGradients& gradients);

}  // namespace memcap::nn::detail
