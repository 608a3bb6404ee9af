// The number of rows a step should have, on devices whose costs are known.
#include "memcap/memory/row_budget.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "memcap/models/registry.hpp"
#include "support/golden_case.hpp"

namespace memcap::memory {
namespace {

/// A model whose forward pass takes as long as it is told, so that its own time hardly counts.
class TimedModel final : public models::CausalLM {
  public:
    TimedModel(const models::CausalLM& model, std::function<double(std::int64_t rows)> seconds)
        : model_(model), seconds_(std::move(seconds)) {}
    const models::Description& description() const override { return model_.description(); }
    at::Tensor embed(const at::Tensor& tokens) const override { return model_.embed(tokens); }
    at::Tensor hidden(const at::Tensor& input_RE, const nn::Segments& segments) const override {
        std::this_thread::sleep_for(std::chrono::duration<double>(seconds_(segments.rows())));
        return model_.hidden(input_RE, segments);
    }
    const nn::Head& head() const override { return model_.head(); }
    double embedding_std() const override { return model_.embedding_std(); }
    at::Device device() const override { return model_.device(); }

  private:
    const models::CausalLM& model_;
    std::function<double(std::int64_t)> seconds_;
};

class RowBudget : public ::testing::Test {
  protected:
    const std::unique_ptr<models::CausalLM> model_ =
        models::load(test::source_folder() / "tests/golden/llama-plain/model", Precision::float32, at::kCPU);
};

TEST_F(RowBudget, GrowsWhereAStepHasAPriceOfItsOwn) {
    const TimedModel model(*model_, [](std::int64_t) { return 0.02; });
    EXPECT_GT(fastest_rows(model, 8, 64), 256);
}

TEST_F(RowBudget, ShrinksWhereRowsGetDearer) {
    const TimedModel model(
        *model_, [](std::int64_t rows) { return 0.04 * static_cast<double>(rows * rows) / (256.0 * 256.0); });
    const std::int64_t rows = fastest_rows(model, 8, 256);
    EXPECT_LT(rows, 128);
    EXPECT_GE(rows, 8);
}

TEST_F(RowBudget, LeavesLongStepsAlone) {
    std::int64_t calls = 0;
    const TimedModel model(*model_, [&](std::int64_t) {
        ++calls;
        return 0.1;
    });
    EXPECT_EQ(fastest_rows(model, 8, 64), 64);
    EXPECT_LE(calls, 2);
}

}  // namespace
}  // namespace memcap::memory
