// Product with a frozen matrix, and its gradient for the input only.
#pragma once

#include <ATen/core/Tensor.h>

#include "memcap/nn/product.hpp"

namespace memcap::nn {

/// y = x W^T + b with frozen W and b. Nothing of x is kept for the backward.
class Linear {
  public:
    Linear() = default;
    /// weight [O, I] as ProductMode stores it; bias [O] float32, undefined for none.
    Linear(at::Tensor weight, at::Tensor bias, ProductMode mode);

    /// x [..., I] float32 -> [..., O] float32.
    at::Tensor operator()(const at::Tensor& x) const;
    const at::Tensor& weight() const noexcept { return weight_; }
    const at::Tensor& bias() const noexcept { return bias_; }
    const ProductMode& mode() const noexcept { return mode_; }

  private:
    at::Tensor weight_;
    at::Tensor bias_;
    ProductMode mode_;
};

}  // namespace memcap::nn
