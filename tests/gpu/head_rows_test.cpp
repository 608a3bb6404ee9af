// The pass over rows of logits against cross-entropy in double precision: every vocabulary, type and odd
// value.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "gpu/comparison.hpp"
#include "memcap/nn/head_loss.hpp"
#include "nn/detail/device_operations.hpp"
#include "nn/detail/device_runtime.hpp"

namespace memcap::nn {
namespace {

using test::kernel_device;
using test::wide;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// What the kernel made of rows of logits, on the CPU.
struct Outcome {
    at::Tensor nll_nats;
    at::Tensor correct;
    at::Tensor gradient;
};

Outcome outcome_of(const at::Tensor& logits, const std::vector<std::int64_t>& targets,
                   const at::Tensor& weight, double soft_cap = 0.0, const at::Tensor& sharpness = {}) {
    const at::Tensor in_place = logits.to(kernel_device()).clone();
    const at::Tensor target = at::tensor(targets, at::kLong).to(kernel_device());
    const at::Tensor nll = at::empty({logits.size(0)}, in_place.options().dtype(at::kFloat));
    const at::Tensor correct = at::empty({logits.size(0)}, in_place.options().dtype(at::kBool));
    detail::device_head_rows(*detail::kernels_on(kernel_device()), in_place, target,
                             weight.defined() ? weight.to(kernel_device()) : at::Tensor(),
                             sharpness.defined() ? sharpness.to(kernel_device()) : at::Tensor(), soft_cap,
                             nll, correct);
    return {nll.to(at::kCPU), correct.to(at::kCPU), in_place.to(at::kCPU)};
}

/// Index of the first of the largest elements of each row.
at::Tensor first_of_largest(const at::Tensor& logits) {
    const at::Tensor is_largest = logits.eq(logits.amax(1, true));
    return is_largest.to(at::kInt).cumsum(1).eq(1).logical_and(is_largest).to(at::kInt).argmax(1);
}

void expect_cross_entropy(const at::Tensor& logits, const std::vector<std::int64_t>& targets, double soft_cap,
                          const std::string& what) {
    const at::Tensor weight = at::rand({logits.size(0)}) + 0.5;
    const Outcome found = outcome_of(logits, targets, weight, soft_cap);
    const at::Tensor target = at::tensor(targets, at::kLong);
    const at::Tensor leaf = wide(logits).requires_grad_(true);
    const at::Tensor capped = soft_cap > 0 ? at::tanh(leaf / soft_cap) * soft_cap : leaf;
    const at::Tensor nll = -capped.log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1);
    const at::Tensor gradient = torch::autograd::grad({nll}, {leaf}, {wide(weight)})[0];
    EXPECT_LT(test::device_error(found.nll_nats, nll.detach()), 4e-6) << what;
    EXPECT_LT(test::device_error(found.gradient, gradient), test::tolerance_of(logits.scalar_type())) << what;
    EXPECT_TRUE(at::equal(found.correct, first_of_largest(capped.detach()).eq(target))) << what;
    // With a temperature the gradient is another, and nothing else; a row at 1 keeps its bits.
    const at::Tensor sharpness = at::rand({logits.size(0)}) * 4 + 0.5;
    sharpness[0].fill_(1.0);
    const Outcome sharp = outcome_of(logits, targets, weight, soft_cap, sharpness);
    const at::Tensor other_leaf = wide(logits).requires_grad_(true);
    const at::Tensor other = soft_cap > 0 ? at::tanh(other_leaf / soft_cap) * soft_cap : other_leaf;
    const at::Tensor sharp_loss =
        -(other * wide(sharpness).unsqueeze(1)).log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1);
    const at::Tensor sharp_gradient = torch::autograd::grad({sharp_loss}, {other_leaf}, {wide(weight)})[0];
    EXPECT_LT(test::device_error(sharp.gradient, sharp_gradient), test::tolerance_of(logits.scalar_type()))
        << what << ", sharp";
    EXPECT_TRUE(at::equal(sharp.nll_nats, found.nll_nats)) << what << ", sharp";
    EXPECT_TRUE(at::equal(sharp.correct, found.correct)) << what << ", sharp";
    EXPECT_TRUE(at::equal(sharp.gradient[0], found.gradient[0])) << what << ", sharp";
    // Without a weight the logits stay.
    const Outcome without = outcome_of(logits, targets, {}, soft_cap);
    EXPECT_TRUE(at::equal(without.gradient, logits)) << what;
    EXPECT_TRUE(at::equal(without.nll_nats, found.nll_nats)) << what;
}

class DeviceHead : public test::OnDevice {
  protected:
    DeviceHead() { at::manual_seed(7); }
};

TEST_F(DeviceHead, RowsAreCrossEntropyAtAnyVocabularyAndType) {
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
        for (const std::int64_t vocabulary : {2, 3, 7, 33, 513, 4099, 50'257, 50'304, 128'256, 256'000}) {
            // Three rows: where the vocabulary is odd, the second begins at no boundary of 16 bytes.
            const at::Tensor logits = (at::randn({3, vocabulary}) * 4).to(type);
            const std::vector<std::int64_t> targets{0, vocabulary - 1,
                                                    logits[2].argmax().item<std::int64_t>()};
            const auto what = fmt::format("vocabulary {}, {}", vocabulary, c10::toString(type));
            expect_cross_entropy(logits, targets, 0.0, what);
            if (vocabulary < 10'000) expect_cross_entropy(logits, targets, 3.0, what + ", capped");
        }
    }
}

TEST_F(DeviceHead, OfEqualLogitsTheFirstIsTheAnswer) {
    for (const auto type : {at::kFloat, at::kBFloat16}) {
        for (const std::int64_t vocabulary : {2, 33, 50'257}) {
            const at::Tensor equal = at::full({3, vocabulary}, 1.5).to(type);
            const auto found = outcome_of(equal, {0, 1, vocabulary - 1}, at::ones({3}));
            EXPECT_TRUE(found.correct[0].item<bool>());
            EXPECT_FALSE(found.correct[1].item<bool>());
            EXPECT_FALSE(found.correct[2].item<bool>());
            EXPECT_NEAR(found.nll_nats[1].item<double>(), std::log(static_cast<double>(vocabulary)), 1e-5);
            // Two equal ones far apart: other threads hold them.
            at::Tensor twins = at::zeros({2, vocabulary}).to(type);
            twins.select(1, vocabulary - 1).fill_(3.0);
            twins.select(1, vocabulary / 2 - 1).fill_(3.0);
            const auto of_twins = outcome_of(twins, {vocabulary / 2 - 1, vocabulary - 1}, at::ones({2}));
            EXPECT_TRUE(of_twins.correct[0].item<bool>());
            EXPECT_FALSE(of_twins.correct[1].item<bool>());
        }
    }
}

TEST_F(DeviceHead, LogitsOfTenThousandDoNotOverflow) {
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
        at::Tensor logits = at::randn({4, 4099}).to(type);
        logits[0][5] = 1e4;
        logits[1][4098] = -1e4;
        logits[2].fill_(-1e4);
        logits[3].fill_(1e4);
        expect_cross_entropy(logits, {5, 4098, 0, 17}, 0.0, c10::toString(type));
        expect_cross_entropy(logits, {7, 4097, 4098, 17}, 0.0, c10::toString(type));
    }
}

TEST_F(DeviceHead, ARowThatIsNotFiniteFailsAloneAndItsNeighboursDoNot) {
    for (const std::int64_t vocabulary : {33, 4099}) {
        const at::Tensor sound = at::randn({5, vocabulary});
        at::Tensor logits = sound.clone();
        logits[1][vocabulary - 1] = std::nanf("");
        logits[2][3] = kInfinity;
        logits[3].fill_(-kInfinity);
        const std::vector<std::int64_t> targets{1, 2, 3, 0, 4};
        const auto found = outcome_of(logits, targets, at::ones({5}));
        const auto expected = outcome_of(sound, targets, at::ones({5}));
        for (const std::int64_t row : {0, 4}) {
            EXPECT_TRUE(at::equal(found.nll_nats[row], expected.nll_nats[row]));
            EXPECT_TRUE(at::equal(found.gradient[row], expected.gradient[row]));
        }
        for (const std::int64_t row : {1, 2, 3})
            EXPECT_FALSE(std::isfinite(found.nll_nats[row].item<float>())) << row;
        EXPECT_FALSE(found.correct[1].item<bool>());
    }
}

TEST_F(DeviceHead, SomeLogitsOfMinusInfinityHaveNoShare) {
    at::Tensor logits = at::randn({2, 77});
    logits.narrow(1, 0, 70).fill_(-kInfinity);
    expect_cross_entropy(logits, {71, 76}, 0.0, "seven words left");
}

TEST_F(DeviceHead, HeadLossIsTheSameInAnyChunks) {
    const at::Tensor weight_VD = at::randn({1031, 24});
    const at::Tensor hidden = at::randn({50, 24});
    const at::Tensor target = at::randint(1031, {50}, at::kLong);
    const at::Tensor weight = at::rand({50});
    const Head head{Linear(weight_VD.to(kernel_device()), {}, {}), 0.0};
    const auto loss = head_loss(head, hidden.to(kernel_device()), target.to(kernel_device()),
                                RowLoss{weight.to(kernel_device())});
    const at::Tensor leaf = wide(hidden).requires_grad_(true);
    const at::Tensor nll =
        -at::matmul(leaf, wide(weight_VD).t()).log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1);
    const at::Tensor gradient = torch::autograd::grad({nll}, {leaf}, {wide(weight)})[0];
    EXPECT_LT(test::device_error(loss.nll_nats, nll.detach()), 4e-6);
    EXPECT_LT(test::device_error(loss.gradient, gradient), 4e-6);
}

}  // namespace
}  // namespace memcap::nn
