// Weights of a model folder as tensors of a device, checked on the way.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "memcap/base/shared_arena.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/nn/product.hpp"

namespace memcap::nn {

/// Reads tensors by name. Each throws DataError for a missing tensor, another shape, a type that is none of
/// float32, bfloat16 and float16, or a value that is not finite in the precision of the run.
///
/// On a CPU the matrices are shared by all processes of the node: a matrix whose values need neither rounding
/// nor stacking is the mapped file itself; any other is made once, by the process that comes first, and
/// mapped by the rest, which wait for it. Tensors keep the memory they lie in.
class WeightReader {
  public:
    /// `base_prefix`: what names of the body begin with in a model with a head, e.g. "model."; they are found
    /// with and without it.
    WeightReader(std::shared_ptr<const hub::WeightFiles> files, ProductMode mode, at::Device device,
                 std::string base_prefix = {});
    virtual ~WeightReader() = default;

    /// A factor of products: rounded and stored as the mode says.
    virtual at::Tensor matrix(const std::string& name, const std::vector<std::int64_t>& shape) const;
    /// The matrices of these names, [rows_i, columns], as parts of one factor: one below the other in a
    /// single part, or each as it lies in the file where it lies ready and is large.
    virtual std::vector<at::Tensor> stacked_matrix(const std::vector<std::string>& names,
                                                   const std::vector<std::int64_t>& rows,
                                                   std::int64_t columns) const;
    /// A tensor of any shape that is no factor of products: float32.
    virtual at::Tensor values(const std::string& name, const std::vector<std::int64_t>& shape) const;
    /// A vector that is added or multiplied element by element: float32.
    at::Tensor vector(const std::string& name, std::int64_t size) const;
    at::Tensor stacked_vector(const std::vector<std::string>& names,
                              const std::vector<std::int64_t>& sizes) const;
    /// Lets the other processes of the node have what was read; to be called when the model is built.
    void share();

    virtual bool contains(const std::string& name) const;
    const ProductMode& mode() const noexcept { return mode_; }
    at::Device device() const noexcept { return device_; }

  protected:
    /// Without files: for weights that come from elsewhere.
    WeightReader(ProductMode mode, at::Device device) : mode_(mode), device_(device) {}

    /// What the files call this tensor.
    std::string name_in_file(const std::string& name) const;
    /// The tensor of this name and shape; throws DataError.
    const hub::TensorView& find(const std::string& name, const std::vector<std::int64_t>& shape) const;

  private:
    at::Tensor on_device(const std::string& name, const hub::TensorView& view) const;
    at::Tensor mapped(const std::string& name, const hub::TensorView& view) const;
    at::Tensor made(const std::vector<std::string>& names, const std::vector<hub::TensorView>& views,
                    const std::vector<std::int64_t>& shape) const;
    bool lies_ready(const hub::TensorView& view) const;

    std::shared_ptr<const hub::WeightFiles> files_;
    std::string base_prefix_;
    ProductMode mode_;
    at::Device device_;
    std::shared_ptr<SharedArena> arena_;  ///< null unless the device is a CPU
};

}  // namespace memcap::nn
