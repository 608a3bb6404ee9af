// Element-wise non-linearities of MLPs, alone and as gates.
#pragma once

#include <ATen/core/Tensor.h>

#include "memcap/nn/activation_kind.hpp"

namespace memcap::nn {

/// f(x) element by element; only x is kept for the backward.
at::Tensor activate(const at::Tensor& x, Activation kind);

/// f(gate) * up, where gate_up [..., 2 M] holds gate and then up; only gate_up is kept for the backward.
at::Tensor gated(const at::Tensor& gate_up, Activation kind);

/// min(max(x, lowest), highest); the gradient passes where x was not clipped.
at::Tensor clip(const at::Tensor& x, double lowest, double highest);

}  // namespace memcap::nn
