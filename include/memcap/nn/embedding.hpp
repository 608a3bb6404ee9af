// Token embeddings.
#pragma once

#include <ATen/core/Tensor.h>

namespace memcap::nn {

/// Rows of a frozen matrix, times a scale (Gemma: the square root of the width; else 1).
class Embedding {
  public:
    Embedding() = default;
    /// weight [V, E] in any floating type.
    explicit Embedding(at::Tensor weight, double scale = 1.0);

    /// tokens [...] int64 -> [..., E] float32.
    at::Tensor operator()(const at::Tensor& tokens) const;
    /// Standard deviation (n - 1) of all scaled elements; 0 on the meta device, which has no values.
    double standard_deviation() const noexcept { return standard_deviation_; }
    const at::Tensor& weight() const noexcept { return weight_; }

  private:
    at::Tensor weight_;
    double scale_ = 1.0;
    double standard_deviation_ = 0.0;
};

}  // namespace memcap::nn
