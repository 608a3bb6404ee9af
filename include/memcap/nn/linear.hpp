// Product with a frozen matrix, and its gradient for the input only.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "memcap/nn/product.hpp"

namespace memcap::nn {

/// y = x W^T + b with frozen W and b. Nothing of x is kept for the backward.
class Linear {
  public:
    Linear() = default;
    /// weight [O, I] as ProductMode stores it; bias [O] float32, undefined for none.
    Linear(at::Tensor weight, at::Tensor bias, ProductMode mode);
    /// The same with a weight in parts [O_i, I], one below the other: large ones stay where they lie.
    Linear(std::vector<at::Tensor> parts, at::Tensor bias, ProductMode mode);

    /// x [..., I] -> [..., O] of type mode().carried.
    at::Tensor operator()(const at::Tensor& x) const;
    /// x [..., O] -> x W [..., I] of type mode().carried: the gradient of the input from that of the output.
    at::Tensor transposed(const at::Tensor& x) const;
    /// The weight of a Linear that has it in one part.
    const at::Tensor& weight() const;
    const ProductMode& mode() const noexcept { return mode_; }

  private:
    friend struct LinearFunction;
    at::Tensor forward(const at::Tensor& x) const;

    std::vector<at::Tensor> parts_;
    std::int64_t rows_ = 0;
    at::Tensor bias_;
    at::Tensor device_bias_;  ///< in the type of the products, which add it themselves on a GPU
    ProductMode mode_;
};

}  // namespace memcap::nn
