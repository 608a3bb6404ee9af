// The fused head against cross-entropy in double, at the vocabularies of real models and at numbers without
// end.
#include "memcap/nn/head_loss.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

namespace memcap::nn {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class HeadLossTest : public ::testing::Test {
  protected:
    void SetUp() override { at::manual_seed(11); }
};

/// A head whose logits of hidden row e_i are the i-th of these rows, to the last bit. logits [R, V].
Head head_of(const at::Tensor& logits) {
    return {Linear(logits.t().contiguous(), {}, {}), 0.0};
}

HeadLoss loss_of(const at::Tensor& logits, const at::Tensor& target, const at::Tensor& weight) {
    return head_loss(head_of(logits), at::eye(logits.size(0)), target, RowLoss{weight});
}

/// Largest difference.
double error(const at::Tensor& got, const at::Tensor& wanted) {
    return (got.to(at::kDouble) - wanted).abs().max().item<double>();
}

/// Random hidden states and weights against log_softmax in double.
void expect_cross_entropy(std::int64_t vocabulary, std::int64_t rows, double spread, double soft_cap = 0.0) {
    SCOPED_TRACE(vocabulary);
    const Head head{Linear(at::randn({vocabulary, 8}), {}, {}), soft_cap};
    const at::Tensor hidden = at::randn({rows, 8}) * spread;
    const at::Tensor target = at::randint(vocabulary, {rows}, at::kLong);
    const at::Tensor weight = at::rand({rows}) + 0.1;
    const auto loss = head_loss(head, hidden, target, RowLoss{weight});
    const at::Tensor wide = hidden.to(at::kDouble).requires_grad_(true);
    at::Tensor logits = at::matmul(wide, head.linear.weight().to(at::kDouble).t());
    if (soft_cap > 0) logits = at::tanh(logits / soft_cap) * soft_cap;
    const at::Tensor nll = -logits.log_softmax(-1).gather(1, target.unsqueeze(1)).squeeze(1);
    const double largest_nll = nll.detach().abs().max().item<double>();
    EXPECT_LT(error(loss.nll_nats, nll.detach()), 1e-5 * std::max(1.0, largest_nll));
    EXPECT_TRUE(at::equal(loss.correct, head.logits(hidden).argmax(-1).eq(target)));
    const auto gradient_of = [&](const at::Tensor& losses) {
        return torch::autograd::grad({(losses * weight.to(at::kDouble)).sum()}, {wide}, {}, true)[0];
    };
    const at::Tensor wanted = gradient_of(nll);
    EXPECT_LE(error(loss.gradient, wanted), 1e-4 * wanted.abs().max().item<double>());
    // A temperature changes the gradient and nothing that is told.
    const at::Tensor sharpness = at::rand({rows}) * 2 + 0.5;
    const auto sharp = head_loss(head, hidden, target, RowLoss{weight, sharpness});
    const at::Tensor logits_by_T = logits * sharpness.to(at::kDouble).unsqueeze(1);
    const at::Tensor wanted_sharp =
        gradient_of(-logits_by_T.log_softmax(-1).gather(1, target.unsqueeze(1)).squeeze(1));
    // What products round off in the logits is sharpened with them.
    EXPECT_LE(error(sharp.gradient, wanted_sharp), 2.5e-4 * wanted_sharp.abs().max().item<double>());
    EXPECT_TRUE(at::equal(sharp.nll_nats, loss.nll_nats) && at::equal(sharp.correct, loss.correct));
    // A row at T = 1 has its bits, whatever its neighbours are at.
    const auto plain = head_loss(head, hidden, target, RowLoss{weight, at::ones({rows})});
    EXPECT_TRUE(at::equal(plain.gradient, loss.gradient));
}

TEST_F(HeadLossTest, IsCrossEntropyAtAnyVocabularyAndChunking) {
    expect_cross_entropy(1, 3, 1.0);
    expect_cross_entropy(11, 1, 1.0);
    expect_cross_entropy(17, 2, 1.0);
    expect_cross_entropy(1024, 333, 1.0);
    expect_cross_entropy(50'257, 1100, 1.0);  // more rows than a chunk holds
    expect_cross_entropy(128'256, 33, 1.0);
    expect_cross_entropy(256'000, 17, 1.0);
    expect_cross_entropy(256'000, 5, 1.0, 30.0);
    expect_cross_entropy(97, 50, 1e3);
    expect_cross_entropy(97, 50, 1.0, 2.0);
}

TEST_F(HeadLossTest, OfRandomShapesIsCrossEntropy) {
    for (int i = 0; i < 40; ++i) {
        const auto draw = [](std::int64_t most) { return at::randint(1, most, {1}).item<std::int64_t>(); };
        expect_cross_entropy(draw(3000), draw(40), std::pow(10.0, static_cast<double>(i % 4) - 1.0),
                             i % 3 == 0 ? 5.0 : 0.0);
    }
}

TEST_F(HeadLossTest, HoldsAtLogitsOfTenThousand) {
    for (const std::int64_t vocabulary : {33, 50'257, 128'256, 256'000}) {
        SCOPED_TRACE(vocabulary);
        const at::Tensor logits = (at::rand({4, vocabulary}) - 0.5) * 2e4;
        logits[0].fill_(-1e4);
        logits[0][7].fill_(1e4);
        logits[1].fill_(1e4);
        logits[1][7].fill_(-1e4);
        const at::Tensor target = at::full({4}, 7, at::kLong);
        const auto loss = loss_of(logits, target, at::ones({4}));
        const at::Tensor wide = logits.to(at::kDouble);
        const at::Tensor wanted = -wide.log_softmax(-1).select(1, 7);
        EXPECT_LT(error(loss.nll_nats, wanted), 1e-6 * 2e4);
        EXPECT_EQ(loss.nll_nats[0].item<float>(), 0.0F);
        EXPECT_NEAR(loss.nll_nats[1].item<float>(), 2e4 + std::log(vocabulary - 1), 1e-6 * 2e4);
        EXPECT_TRUE(loss.correct[0].item<bool>());
        EXPECT_FALSE(loss.correct[1].item<bool>());
        EXPECT_TRUE(loss.gradient.isfinite().all().item<bool>());
    }
}

TEST_F(HeadLossTest, CountsTheFirstOfEqualLogitsAsTorchDoes) {
    for (const std::int64_t vocabulary : {5, 16, 50'257, 128'256, 256'000}) {
        SCOPED_TRACE(vocabulary);
        const at::Tensor logits = at::full({3, vocabulary}, 0.25);
        const std::vector<std::int64_t> targets{0, 1, vocabulary - 1};
        const auto loss = loss_of(logits, at::tensor(targets, at::kLong), at::ones({3}));
        EXPECT_EQ(logits[0].argmax().item<std::int64_t>(), 0);
        EXPECT_TRUE(loss.correct[0].item<bool>());
        EXPECT_FALSE(loss.correct[1].item<bool>());
        EXPECT_FALSE(loss.correct[2].item<bool>());
        for (int row = 0; row < 3; ++row)
            EXPECT_NEAR(loss.nll_nats[row].item<float>(), std::log(static_cast<double>(vocabulary)), 1e-5);
    }
}

TEST_F(HeadLossTest, ARowWithoutANumberHasNoLossAndItsNeighboursKeepTheirs) {
    for (const float wrong : {NAN, kInfinity, -kInfinity}) {
        SCOPED_TRACE(wrong);
        const Head head{Linear(at::randn({1000, 8}), {}, {}), 0.0};
        const at::Tensor hidden = at::randn({3, 8});
        const at::Tensor target = at::tensor(std::vector<std::int64_t>{3, 500, 999}, at::kLong);
        const auto loss = [&] { return head_loss(head, hidden, target, RowLoss{at::ones({3})}); };
        const auto before = loss();
        hidden[1][4].fill_(wrong);
        const auto after = loss();
        for (const std::int64_t neighbour : {0, 2}) {
            EXPECT_TRUE(at::equal(after.nll_nats[neighbour], before.nll_nats[neighbour]));
            EXPECT_TRUE(at::equal(after.gradient[neighbour], before.gradient[neighbour]));
        }
        EXPECT_FALSE(std::isfinite(after.nll_nats[1].item<float>()));
        EXPECT_FALSE(after.correct[1].item<bool>());
    }
}

TEST_F(HeadLossTest, LogitsOfMinusInfinityAreTokensThatCannotBe) {
    at::Tensor logits = at::randn({1, 100});
    logits.narrow(1, 50, 50).fill_(-kInfinity);
    const at::Tensor target = at::tensor(std::vector<std::int64_t>{4}, at::kLong);
    const Head head{Linear(logits.t().contiguous(), {}, {}), 0.0};
    const auto loss = head_loss(head, at::ones({1, 1}), target);
    const at::Tensor wanted = -logits.to(at::kDouble).log_softmax(-1).select(1, 4);
    EXPECT_LT(error(loss.nll_nats, wanted), 1e-5);
}

}  // namespace
}  // namespace memcap::nn
