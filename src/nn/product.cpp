// Choice of product types by device and instruction set.
#include "memcap/nn/product.hpp"

#include <ATen/ATen.h>

namespace memcap::nn {

at::Tensor ProductMode::factor(const at::Tensor& value) const {
    if (rounded == at::kFloat) return value.to(at::kFloat);
    return value.to(rounded).to(multiplied);
}

ProductMode product_mode(Precision precision, at::Device device) {
    switch (precision) {
        case Precision::float32:
        case Precision::tf32:
            return {};
        case Precision::bfloat16: {
            const bool native = !device.is_cpu() || __builtin_cpu_supports("avx512bf16");
            return {at::kBFloat16, native ? at::kBFloat16 : at::kFloat,
                    device.is_cpu() ? at::kFloat : at::kBFloat16};
        }
        case Precision::float16:
            return device.is_cpu() ? ProductMode{at::kHalf, at::kFloat, at::kFloat}
                                   : ProductMode{at::kHalf, at::kHalf, at::kHalf};
    }
    return {};
}

}  // namespace memcap::nn
