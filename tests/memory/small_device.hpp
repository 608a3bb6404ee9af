// A model that counts the rows it computes, on a device that has memory for so many.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

#include "memcap/models/causal_lm.hpp"

namespace memcap::test {

class SmallDevice final : public models::CausalLM {
  public:
    SmallDevice(const models::CausalLM& model, std::int64_t most_rows)
        : model_(model), most_rows_(most_rows) {}
    const models::Description& description() const override { return model_.description(); }
    at::Tensor embed(const at::Tensor& tokens) const override { return model_.embed(tokens); }
    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& position_R) const override {
        return model_.row_parts(input_RE, position_R);
    }
    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        largest_rows_ = std::max(largest_rows_, segments.rows());
        computed_rows_ += segments.rows();
        // libtorch's own error: no machine has so much.
        if (segments.rows() > most_rows_) at::empty({std::int64_t{1} << 55}, at::kByte);
        return model_.hidden(input_RE, row_parts, segments);
    }
    const nn::Head& head() const override { return model_.head(); }
    double embedding_std() const override { return model_.embedding_std(); }
    at::Device device() const override { return model_.device(); }
    std::int64_t largest_rows() const { return largest_rows_; }
    std::int64_t computed_rows() const { return computed_rows_; }

  private:
    const models::CausalLM& model_;
    std::int64_t most_rows_;
    mutable std::int64_t largest_rows_ = 0;
    mutable std::int64_t computed_rows_ = 0;  ///< over all calls
};

}  // namespace memcap::test
