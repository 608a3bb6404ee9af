// Weights made in memory instead of read: for measuring a model whose files are not at hand.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "memcap/nn/weights.hpp"

namespace memcap::nn {

/// Gives each tensor that is asked for: matrices of normal numbers with the scale of a freshly initialised
/// model (0.02, initializer_range of most configurations of transformers), vectors of zeros where the name is
/// that of a bias and of ones elsewhere. contains() is false for every name, so that heads are tied and names
/// are a family's first choice.
class RandomWeights final : public WeightReader {
  public:
    RandomWeights(ProductMode mode, at::Device device);

    at::Tensor matrix(const std::string& name, const std::vector<std::int64_t>& shape) const override;
    std::vector<at::Tensor> stacked_matrix(const std::vector<std::string>& names,
                                           const std::vector<std::int64_t>& rows,
                                           std::int64_t columns) const override;
    at::Tensor values(const std::string& name, const std::vector<std::int64_t>& shape) const override;
    bool contains(const std::string& /*name*/) const override { return false; }

  private:
    at::Tensor block_;  ///< normal numbers, float32
};

}  // namespace memcap::nn
