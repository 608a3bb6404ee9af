// A row's numbers to the last bit: alone, at any place among others, with any number of threads.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <utility>
#include <vector>

#include "memcap/nn/embedding.hpp"
#include "memcap/nn/head_loss.hpp"
#include "memcap/nn/linear.hpp"
#include "memcap/nn/product.hpp"
#include "memcap/nn/state_space.hpp"
#include "nn/detail/cpu_product.hpp"
#include "support/threads.hpp"

namespace memcap::nn {
namespace {

using Operation = std::function<at::Tensor(const at::Tensor&)>;

constexpr std::int64_t kAll = 1'100;

class Rows : public ::testing::Test {
  protected:
    Rows() { at::manual_seed(5); }

    /// Each row that `operation` makes of x [kAll, ...] is the one it makes of fewer rows.
    static void expect_alone(const Operation& operation, const at::Tensor& x) {
        const at::Tensor whole = (test::Threads(1), operation(x));
        for (const int threads : {1, 2, 3, 8, 16}) {
            const test::Threads with(threads);
            for (const std::int64_t rows : {1, 7, 63, 100, 128, 129, 200, 257, 1'000}) {
                for (const std::int64_t first : {std::int64_t{0}, kAll - rows}) {
                    EXPECT_TRUE(operation(x.narrow(0, first, rows)).equal(whole.narrow(0, first, rows)))
                        << rows << " rows from " << first << " on, " << threads << " threads";
                }
            }
        }
    }

    /// Of both libraries, wherever they would be taken on some processor.
    static void expect_products_alone(std::int64_t inputs, std::int64_t outputs) {
        SCOPED_TRACE(testing::Message() << inputs << " -> " << outputs);
        const at::Tensor weight = at::randn({outputs, inputs});
        for (const at::Tensor& factor : {weight, weight.t()}) {
            const at::Tensor x = at::randn({kAll, factor.size(1)});
            for (const auto library : {detail::ProductLibrary::mkl, detail::ProductLibrary::onednn}) {
                if (library == detail::ProductLibrary::mkl && !factor.is_contiguous()) continue;
                SCOPED_TRACE(testing::Message() << static_cast<int>(library) << factor.is_contiguous());
                expect_alone(
                    [&](const at::Tensor& rows) { return detail::cpu_product(rows, factor, {}, library); },
                    x);
            }
        }
    }

    static void expect_linear_alone(const Linear& linear, std::int64_t inputs, std::int64_t outputs) {
        SCOPED_TRACE(testing::Message() << inputs << " -> " << outputs);
        expect_alone([&](const at::Tensor& x) { return linear(x); }, at::randn({kAll, inputs}));
        expect_alone([&](const at::Tensor& x) { return linear.transposed(x); }, at::randn({kAll, outputs}));
    }
};

TEST_F(Rows, OfProductsAndTheirGradientsStandAlone) {
    // The shipped models' shapes, heads whose gradients are long sums, and widths of tiny checkpoints.
    for (const auto& [inputs, outputs] : std::vector<std::pair<std::int64_t, std::int64_t>>{{64, 192},
                                                                                            {192, 64},
                                                                                            {64, 1'024},
                                                                                            {192, 576},
                                                                                            {576, 192},
                                                                                            {192, 2'048},
                                                                                            {768, 768},
                                                                                            {24, 40},
                                                                                            {6, 50}})
        expect_products_alone(inputs, outputs);
}

TEST_F(Rows, OfAProductWithABiasStandAlone) {
    expect_linear_alone(Linear(at::randn({512, 128}), at::randn({512}), {}), 128, 512);
}

TEST_F(Rows, OfAProductInPartsStandAlone) {
    expect_linear_alone(Linear(std::vector{at::randn({768, 96}), at::randn({1'300, 96})}, {}, {}), 96, 2'068);
}

TEST_F(Rows, OfTheHeadStandAlone) {
    const Head head{Linear(at::randn({2'048, 48}), {}, {}), 0.0};
    const at::Tensor target = at::arange(kAll, at::kLong);
    // Loss, verdict and gradient of a row side by side; the target goes in as the row's last number.
    const auto judged = [&](const at::Tensor& x) {
        const auto loss = head_loss(head, x.narrow(1, 0, 48).contiguous(), x.select(1, 48).to(at::kLong),
                                    RowLoss{at::full({x.size(0)}, 0.3F)});
        return at::cat({loss.nll_nats.unsqueeze(1), loss.correct.to(at::kFloat).unsqueeze(1), loss.gradient},
                       1);
    };
    expect_alone(judged, at::cat({at::randn({kAll, 48}), target.to(at::kFloat).unsqueeze(1)}, 1));
}

TEST_F(Rows, OfSoftplusAndItsGradientStandAlone) {
    // A width that fills no register: where a thread's elements end differs from call to call.
    expect_alone([](const at::Tensor& x) { return nn::softplus(x); }, at::randn({kAll, 37}));
    expect_alone(
        [](const at::Tensor& x) {
            const at::Tensor input = x.clone().requires_grad_(true);
            return torch::autograd::grad({nn::softplus(input)}, {input}, {at::ones_like(x)})[0];
        },
        at::randn({kAll, 37}));
}

TEST_F(Rows, TheScaleOfEmbeddingsDoesNotDependOnThreads) {
    const at::Tensor weight = at::randn({300, 160});
    const double alone = (test::Threads(1), Embedding(weight).standard_deviation());
    for (const int threads : {2, 3}) {
        const test::Threads with(threads);
        EXPECT_EQ(Embedding(weight).standard_deviation(), alone);
    }
}

TEST_F(Rows, AreSaidToStandAloneOnThisProcessor) {
    const test::Threads with(2);
    EXPECT_TRUE(rows_stand_alone());
    EXPECT_EQ(at::get_num_threads(), 2);
}

}  // namespace
}  // namespace memcap::nn
