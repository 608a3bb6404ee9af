// Look-up of embedding rows.
#include "memcap/nn/embedding.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

namespace memcap::nn {

namespace {

/// Standard deviation (n - 1), piece by piece: a large vocabulary in double would not fit beside itself.
double standard_deviation_of(const at::Tensor& weight) {
    constexpr std::int64_t kPieceRows = 256;
    double count = 0.0;
    double mean = 0.0;
    double squares = 0.0;  // sum of squared distances from the mean
    for (const at::Tensor& rows : weight.split(kPieceRows)) {
        const auto [piece_variance, piece_mean] = at::var_mean(rows.to(at::kDouble), false);
        const auto piece_count = static_cast<double>(rows.numel());
        const double distance = piece_mean.item<double>() - mean;
        squares += piece_variance.item<double>() * piece_count +
                   distance * distance * count * piece_count / (count + piece_count);
        count += piece_count;
        mean += distance * piece_count / count;
    }
    return std::sqrt(squares / (count - 1.0));
}

}  // namespace

Embedding::Embedding(at::Tensor weight, double scale) : weight_(std::move(weight)), scale_(scale) {
    if (!weight_.is_meta()) standard_deviation_ = scale * standard_deviation_of(weight_);
}

at::Tensor Embedding::operator()(const at::Tensor& tokens) const {
    at::Tensor rows = weight_.index_select(0, tokens.flatten()).to(at::kFloat).unflatten(0, tokens.sizes());
    return scale_ == 1.0 ? rows : rows.mul(scale_);
}

}  // namespace memcap::nn
