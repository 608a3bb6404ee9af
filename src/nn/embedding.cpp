// Look-up of embedding rows.
#include "memcap/nn/embedding.hpp"

#include <ATen/ATen.h>

#include <utility>

namespace memcap::nn {

Embedding::Embedding(at::Tensor weight, double scale) : weight_(std::move(weight)), scale_(scale) {
    if (!weight_.is_meta()) standard_deviation_ = scale * weight_.to(at::kFloat).std().item<double>();
}

at::Tensor Embedding::operator()(const at::Tensor& tokens) const {
    at::Tensor rows = weight_.index_select(0, tokens.flatten()).to(at::kFloat).unflatten(0, tokens.sizes());
    return scale_ == 1.0 ? rows : rows.mul(scale_);
}

}  // namespace memcap::nn
