// Random tensors from one block of random numbers.
#include "memcap/nn/random_weights.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numeric>

namespace memcap::nn {

namespace {

// A prime: no two rows of a matrix are alike, although the numbers come again and again. Drawing each of
// billions would take longer than what is to be measured.
constexpr std::int64_t kBlockElements = 1'000'003;
constexpr double kScale = 0.02;

/// A tensor of this shape that holds `numbers` again and again.
at::Tensor tiled(const std::vector<std::int64_t>& shape, const at::Tensor& numbers) {
    at::Tensor tensor = at::empty(shape, numbers.options());
    const at::Tensor flat = tensor.view(-1);
    for (std::int64_t begin = 0; begin < flat.numel(); begin += kBlockElements) {
        const std::int64_t count = std::min(kBlockElements, flat.numel() - begin);
        flat.narrow(0, begin, count).copy_(numbers.narrow(0, 0, count));
    }
    return tensor;
}

}  // namespace

RandomWeights::RandomWeights(ProductMode mode, at::Device device) : WeightReader(mode, device) {
    constexpr std::uint64_t kSeed = 0;
    block_ = at::empty({kBlockElements}, at::kFloat)
                 .normal_(0.0, kScale, at::detail::createCPUGenerator(kSeed))
                 .to(device);
}

at::Tensor RandomWeights::matrix(const std::string& /*name*/, const std::vector<std::int64_t>& shape) const {
    return tiled(shape, mode().factor(block_));
}

std::vector<at::Tensor> RandomWeights::stacked_matrix(const std::vector<std::string>& names,
                                                      const std::vector<std::int64_t>& rows,
                                                      std::int64_t columns) const {
    return {matrix(names.front(), {std::accumulate(rows.begin(), rows.end(), std::int64_t{0}), columns})};
}

at::Tensor RandomWeights::values(const std::string& name, const std::vector<std::int64_t>& shape) const {
    if (shape.size() > 1) return tiled(shape, block_);
    const auto options = at::device(device()).dtype(at::kFloat);
    return name.ends_with("bias") ? at::zeros(shape, options) : at::ones(shape, options);
}

}  // namespace memcap::nn
