// The non-linearities by name.
#pragma once

#include <cstdint>

namespace memcap::nn {

/// gelu: x Phi(x); gelu_tanh: its tanh approximation (`gelu_new`, `gelu_pytorch_tanh` in transformers
/// activations.py). softplus: log(1 + exp(x)), the steps of state-space models.
enum class Activation : std::uint8_t { silu, relu, gelu, gelu_tanh, softplus };

}  // namespace memcap::nn
