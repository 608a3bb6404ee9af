// Products with frozen matrices on a CPU whose rows depend on nothing but themselves.
#pragma once

#include <ATen/core/Tensor.h>

namespace memcap::nn::detail {

// A row of a product in float32 is the same to the last bit wherever it stands, whatever stands beside it and
// however many threads there are. Libraries alone do not promise that: below some number of rows they take
// kernels that add in another order, and MKL cuts a long sum into parts for its threads. So fewer rows than
// kFewestRows are filled up with zeros, and MKL never sees more than one thread (measured in
// benchmarks/README.md; rows_stand_alone() tries it on the processor at hand).

/// Rows that a library of products is given at least.
inline constexpr std::int64_t kFewestRows = 128;

/// x [..., I] times the transpose of weight [O, I], plus bias [O] if that is defined; one dtype for all. The
/// weight may be a transposed view. By oneDNN or by MKL, which both come with libtorch: oneDNN is the faster
/// one on AMD's processors and for gradients, MKL for x W^T in float32 on Intel's (benchmarks/README.md).
at::Tensor cpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// The same without bias, written to y [R, O], which may be columns of a larger tensor; x [R, I].
void cpu_product_into(const at::Tensor& y, const at::Tensor& x, const at::Tensor& weight);

}  // namespace memcap::nn::detail
