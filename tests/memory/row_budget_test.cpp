// The number of rows a step should have, on devices whose costs are known.
#include "memcap/memory/row_budget.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <new>
#include <utility>

#include "memcap/models/registry.hpp"
#include "support/golden_case.hpp"

namespace memcap::memory {
namespace {

/// A model whose forward pass moves a clock on by what it is told; nothing else does.
class TimedModel final : public models::CausalLM {
  public:
    TimedModel(const models::CausalLM& model, std::function<double(std::int64_t rows)> seconds)
        : model_(model), seconds_(std::move(seconds)) {}
    const models::Description& description() const override { return model_.description(); }
    at::Tensor embed(const at::Tensor& tokens) const override { return model_.embed(tokens); }
    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& position_R) const override {
        return model_.row_parts(input_RE, position_R);
    }
    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        now_s_ += seconds_(segments.rows());
        return model_.hidden(input_RE, row_parts, segments);
    }
    const nn::Head& head() const override { return model_.head(); }
    double embedding_std() const override { return model_.embedding_std(); }
    at::Device device() const override { return model_.device(); }
    std::function<double()> clock() const {
        return [this] { return now_s_; };
    }

  private:
    const models::CausalLM& model_;
    std::function<double(std::int64_t)> seconds_;
    mutable double now_s_ = 0.0;
};

constexpr std::int64_t kMany = 1 << 20;

class RowBudget : public ::testing::Test {
  protected:
    const std::unique_ptr<models::CausalLM> model_ =
        models::load(test::source_folder() / "tests/golden/llama-plain/model", Precision::float32, at::kCPU);
};

TEST_F(RowBudget, GrowsWhereAStepHasAPriceOfItsOwn) {
    // 2048 rows are the first step longer than 50 ms.
    const TimedModel model(*model_,
                           [](std::int64_t rows) { return 0.02 + 2e-5 * static_cast<double>(rows); });
    EXPECT_EQ(fastest_rows(model, 8, 64, kMany, model.clock()), 2048);
}

TEST_F(RowBudget, ShrinksWhereRowsGetDearer) {
    const TimedModel model(
        *model_, [](std::int64_t rows) { return 0.04 * static_cast<double>(rows * rows) / (256.0 * 256.0); });
    EXPECT_EQ(fastest_rows(model, 8, 256, kMany, model.clock()), 8);
}

TEST_F(RowBudget, StaysBelowTheMostThatItIsGiven) {
    const TimedModel model(*model_,
                           [](std::int64_t rows) { return 0.02 + 1e-6 * static_cast<double>(rows); });
    EXPECT_EQ(fastest_rows(model, 8, 64, 300, model.clock()), 256);
    EXPECT_EQ(fastest_rows(model, 8, 64, 64, model.clock()), 64);
}

TEST_F(RowBudget, StaysBelowWhatMemoryHolds) {
    // Growing pays, but 300 rows are too many.
    const TimedModel model(*model_, [](std::int64_t rows) {
        if (rows > 300) throw std::bad_alloc();
        return 0.02 + 2e-5 * static_cast<double>(rows);
    });
    EXPECT_EQ(fastest_rows(model, 8, 64, kMany, model.clock()), 256);
    EXPECT_EQ(fastest_rows(model, 8, 512, kMany, model.clock()), 256) << "half of what was tried";
}

TEST_F(RowBudget, LeavesLongStepsAlone) {
    std::int64_t calls = 0;
    const TimedModel model(*model_, [&](std::int64_t) {
        ++calls;
        return 0.1;
    });
    EXPECT_EQ(fastest_rows(model, 8, 64, kMany, model.clock()), 64);
    EXPECT_LE(calls, 2);
}

}  // namespace
}  // namespace memcap::memory
