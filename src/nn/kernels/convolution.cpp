// The convolution and its transpose, which is the gradient.
#include "nn/kernels/convolution.hpp"

#include "nn/kernels/isa.hpp"

namespace memcap::nn::kernels::MEMCAP_ISA {

namespace {

/// y[t] = bias + sum over `reach` of weight[taps - 1 - reach] * x[t + sign * reach].
MEMCAP_INLINE void convolve(const ConvolutionTask& task, std::int64_t sign) {
    for (std::int64_t t = 0; t < task.positions; ++t) {
        float* __restrict y = task.y + t * task.channels;
        for (std::int64_t c = 0; c < task.channels; ++c) y[c] = task.bias != nullptr ? task.bias[c] : 0.0F;
        for (std::int64_t reach = 0; reach < task.taps; ++reach) {
            const std::int64_t from = t + sign * reach;
            if (from < 0 || from >= task.positions) break;
            const float* __restrict x = task.x + from * task.channels;
            const float* __restrict weight = task.weight + (task.taps - 1 - reach) * task.channels;
            for (std::int64_t c = 0; c < task.channels; ++c) y[c] += weight[c] * x[c];
        }
    }
}

}  // namespace

void convolution_forward(const ConvolutionTask& task) {
    convolve(task, -1);
}

void convolution_backward(const ConvolutionTask& task) {
    convolve(task, 1);
}

}  // namespace memcap::nn::kernels::MEMCAP_ISA
