// Gates of MLPs.
#pragma once

#include <ATen/core/Tensor.h>

namespace memcap::nn {

/// silu(gate) * up, where gate_up [..., 2 M] holds gate and then up; only gate_up is kept for the backward.
at::Tensor silu_gate(const at::Tensor& gate_up);

}  // namespace memcap::nn
