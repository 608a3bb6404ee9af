// Products with frozen matrices on a CPU.
#pragma once

#include <ATen/core/Tensor.h>

namespace memcap::nn::detail {

/// x [..., I] times the transpose of weight [O, I], plus bias [O] if that is defined; one dtype for all. The
/// weight may be a transposed view. By oneDNN or by MKL, which both come with libtorch: at the shapes of
/// small and large models oneDNN is 5 to 20 % faster on AMD's processors, MKL as much in float32 on Intel's
/// (benchmarks/README.md).
at::Tensor cpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace memcap::nn::detail
