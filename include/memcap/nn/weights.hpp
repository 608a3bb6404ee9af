// Weights of a model folder as tensors of a device, checked on the way.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "memcap/hub/safetensors.hpp"
#include "memcap/nn/product.hpp"

namespace memcap::nn {

/// Reads tensors by name. Each throws DataError for a missing tensor, another shape, a type that is none of
/// float32, bfloat16 and float16, or a value that is not finite.
class WeightReader {
  public:
    /// `files` must outlive the reader.
    WeightReader(const hub::WeightFiles& files, ProductMode mode, at::Device device)
        : files_(files), mode_(mode), device_(device) {}

    /// A factor of products: rounded and stored as the mode says.
    at::Tensor matrix(const std::string& name, const std::vector<std::int64_t>& shape) const;
    /// The matrices of these names, [rows_i, columns], one below the other.
    at::Tensor stacked_matrix(const std::vector<std::string>& names, const std::vector<std::int64_t>& rows,
                              std::int64_t columns) const;
    /// A tensor of any shape that is no factor of products: float32.
    at::Tensor values(const std::string& name, const std::vector<std::int64_t>& shape) const;
    /// A vector that is added or multiplied element by element: float32.
    at::Tensor vector(const std::string& name, std::int64_t size) const;
    at::Tensor stacked_vector(const std::vector<std::string>& names,
                              const std::vector<std::int64_t>& sizes) const;

    bool contains(const std::string& name) const { return files_.contains(name); }
    const ProductMode& mode() const noexcept { return mode_; }
    at::Device device() const noexcept { return device_; }

  private:
    at::Tensor read(const std::string& name, const std::vector<std::int64_t>& shape) const;

    const hub::WeightFiles& files_;
    ProductMode mode_;
    at::Device device_;
};

}  // namespace memcap::nn
