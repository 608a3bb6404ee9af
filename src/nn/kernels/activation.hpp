// Non-linearities and gates on a CPU, forth and back.
#pragma once

#include <cstdint>

#include "memcap/nn/activation_kind.hpp"

namespace memcap::nn::kernels {

/// `rows` rows of `width` results. With `gated`, a row of the input is [gate, up] of 2 * width and the result
/// is f(gate) * up; otherwise it is f(x).
struct ActivationTask {
    Activation kind = Activation::silu;
    bool gated = false;
    std::int64_t rows = 0;
    std::int64_t width = 0;
    const float* x = nullptr;
    const float* gradient = nullptr;  ///< of the result; for the backward
    float* result = nullptr;          ///< f, or the gradient of the input
};

}  // namespace memcap::nn::kernels
