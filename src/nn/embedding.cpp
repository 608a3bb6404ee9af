// Look-up of embedding rows.
#include "memcap/nn/embedding.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

namespace memcap::nn {

namespace {

/// Standard deviation (n - 1), piece by piece: a large vocabulary in double would not fit beside itself. And
/// row by row within a piece: the sum over a whole tensor would depend on the number of threads.
double standard_deviation_of(const at::Tensor& weight) {
    constexpr std::int64_t kPieceRows = 256;
    const auto row_count = static_cast<double>(weight.size(1));
    double count = 0.0;
    double mean = 0.0;
    double squares = 0.0;  // sum of squared distances from the mean
    for (const at::Tensor& rows : weight.split(kPieceRows)) {
        auto [variances, means] = at::var_mean(rows.to(at::kDouble), {1}, false);
        variances = variances.to(at::kCPU);
        means = means.to(at::kCPU);
        for (std::int64_t row = 0; row < rows.size(0); ++row) {
            const double distance = means.const_data_ptr<double>()[row] - mean;
            squares += variances.const_data_ptr<double>()[row] * row_count +
                       distance * distance * count * row_count / (count + row_count);
            count += row_count;
            mean += distance * row_count / count;
        }
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
