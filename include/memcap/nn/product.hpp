// How matrix products are computed in each precision: what is stored, what is multiplied.
#pragma once

#include <ATen/core/Tensor.h>

#include "memcap/base/protocol.hpp"

namespace memcap::nn {

/// The dtypes of products with frozen weights. Operations take float32 in every mode.
struct ProductMode {
    at::ScalarType rounded = at::kFloat;  ///< weights and product inputs are rounded to this
    at::ScalarType multiplied =
        at::kFloat;  ///< and multiplied in this: float32 where the device lacks `rounded`

    at::ScalarType carried =
        at::kFloat;  ///< what products and attention return: float32 on a CPU; on a GPU the
                     ///< type of the products, which the next operation takes as it is

    /// `value` as a factor of a product.
    at::Tensor factor(const at::Tensor& value) const;
};

/// The mode of a precision on a device. A CPU without bf16 (AVX512-BF16) or float16 instructions rounds to
/// the type asked for and multiplies in float32. tf32 is float32 on a CPU.
ProductMode product_mode(Precision precision, at::Device device);

/// Whether products in float32 on this CPU give a row the same bits among few and many rows, with one thread
/// and with as many as there are: tried on a few shapes, forth and back, in some hundredths of a second.
bool rows_stand_alone();

}  // namespace memcap::nn
