// Weights that are made, not read.
#include "memcap/nn/random_weights.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <tuple>
#include <vector>

namespace memcap::nn {
namespace {

constexpr ProductMode kFloat32{};
constexpr ProductMode kBfloat16{at::kBFloat16, at::kBFloat16};
constexpr ProductMode kBfloat16InFloat32{at::kBFloat16, at::kFloat};

TEST(RandomWeights, HaveTheScaleOfAFreshModel) {
    const RandomWeights weights(kFloat32, at::kCPU);
    const at::Tensor matrix = weights.matrix("a", {3000, 768});
    EXPECT_EQ(matrix.sizes(), (std::vector<std::int64_t>{3000, 768}));
    EXPECT_NEAR(matrix.mean().item<double>(), 0.0, 1e-4);
    EXPECT_NEAR(matrix.std().item<double>(), 0.02, 1e-4);
    // Beyond the block that is repeated, too.
    EXPECT_NEAR(matrix.narrow(0, 2900, 100).std().item<double>(), 0.02, 1e-3);
}

TEST(RandomWeights, HaveNoTwoEqualRows) {
    const RandomWeights weights(kFloat32, at::kCPU);
    const at::Tensor matrix = weights.matrix("a", {50'000, 64});
    // Equal rows would have equal sums.
    const auto sums = std::get<0>(at::sort(matrix.to(at::kDouble).sum(1)));
    EXPECT_GT((sums.narrow(0, 1, 49'999) - sums.narrow(0, 0, 49'999)).min().item<double>(), 0.0);
}

TEST(RandomWeights, AreRoundedAndStoredAsTheModeSays) {
    const at::Tensor exact = RandomWeights(kFloat32, at::kCPU).matrix("a", {40, 8});
    const at::Tensor stored = RandomWeights(kBfloat16, at::kCPU).matrix("a", {40, 8});
    EXPECT_EQ(stored.scalar_type(), at::kBFloat16);
    EXPECT_TRUE(at::equal(stored, exact.to(at::kBFloat16)));
    const at::Tensor rounded = RandomWeights(kBfloat16InFloat32, at::kCPU).matrix("a", {40, 8});
    EXPECT_EQ(rounded.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(rounded, stored.to(at::kFloat)));
}

TEST(RandomWeights, StackInOnePart) {
    const RandomWeights weights(kFloat32, at::kCPU);
    const auto parts = weights.stacked_matrix({"q", "k"}, {12, 4}, 8);
    ASSERT_EQ(parts.size(), 1U);
    EXPECT_EQ(parts[0].sizes(), (std::vector<std::int64_t>{16, 8}));
}

TEST(RandomWeights, ScaleByOneAndAddNothing) {
    const RandomWeights weights(kBfloat16, at::kCPU);
    EXPECT_TRUE(at::equal(weights.vector("norm.weight", 5), at::ones({5})));
    EXPECT_TRUE(at::equal(weights.vector("norm.bias", 5), at::zeros({5})));
    EXPECT_TRUE(at::equal(weights.stacked_vector({"q.bias", "k.bias"}, {2, 3}), at::zeros({5})));
    const at::Tensor taps = weights.values("conv1d.weight", {6, 1, 4});
    EXPECT_EQ(taps.scalar_type(), at::kFloat);
    EXPECT_GT(taps.std().item<double>(), 0.01);
    EXPECT_FALSE(weights.contains("lm_head.weight"));
}

}  // namespace
}  // namespace memcap::nn
