// Causal convolution of one slot, channel by channel, on a CPU.
#pragma once

#include <cstdint>

namespace memcap::nn::kernels {

/// y[t] = bias + sum over j < taps of weight[j] * x[t - taps + 1 + j], positions before the first being 0.
/// Rows of `channels` neighbouring floats.
struct ConvolutionTask {
    std::int64_t positions = 0;
    std::int64_t channels = 0;
    std::int64_t taps = 0;
    const float* x = nullptr;
    const float* weight = nullptr;  ///< [taps, channels]
    const float* bias = nullptr;    ///< [channels]; null for zeros
    float* y = nullptr;
};

}  // namespace memcap::nn::kernels
