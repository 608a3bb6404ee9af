// Which tensors of the weight files a model asks for, found out without reading them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "memcap/nn/weights.hpp"

namespace memcap::nn {

/// Gives tensors of the meta device, and notes the names of those that were asked for. Names and shapes are
/// checked as by WeightReader; values and types are not.
class WeightNames final : public WeightReader {
  public:
    explicit WeightNames(std::shared_ptr<const hub::WeightFiles> files, std::string base_prefix = {});

    at::Tensor matrix(const std::string& name, const std::vector<std::int64_t>& shape) const override;
    std::vector<at::Tensor> stacked_matrix(const std::vector<std::string>& names,
                                           const std::vector<std::int64_t>& rows,
                                           std::int64_t columns) const override;
    at::Tensor values(const std::string& name, const std::vector<std::int64_t>& shape) const override;

    /// Those that were asked for up to now, as the files call them.
    const std::set<std::string>& asked() const noexcept { return asked_; }

  private:
    void ask(const std::string& name, const std::vector<std::int64_t>& shape) const;

    mutable std::set<std::string> asked_;  ///< of a reader that is const to those who ask
};

}  // namespace memcap::nn
