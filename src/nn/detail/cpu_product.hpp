// Products with frozen matrices on a CPU whose rows depend on nothing but themselves.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace memcap::nn::detail {

// A row of a product in float32 is the same to the last bit wherever it stands, whatever stands beside it and
// however many threads there are. Libraries alone do not promise that: few rows, and with AVX2 the last rows
// of a product, go through kernels that add in another order, and MKL cuts long sums into parts for its
// threads. So rows of zeros fill up what is too few, and threads get rows of their own where the library
// would share the work otherwise (measured in benchmarks/README.md; rows_stand_alone() tries it on the
// processor at hand).

/// Both come with libtorch.
enum class ProductLibrary : bool { mkl, onednn };

/// On Intel's processors MKL for x W^T in float32; on others, and for the transposed weights of gradients
/// everywhere, oneDNN (benchmarks/README.md).
ProductLibrary library_for(const at::Tensor& x, const at::Tensor& weight);

/// x [..., I] times the transpose of weight [O, I], plus bias [O] if that is defined; one dtype for all. The
/// weight may be a transposed view.
at::Tensor cpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
/// The same by this library.
at::Tensor cpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       ProductLibrary library);

/// The same without bias, written to y [R, O], which may be columns of a larger tensor; x [R, I].
void cpu_product_into(const at::Tensor& y, const at::Tensor& x, const at::Tensor& weight);

}  // namespace memcap::nn::detail
