// A sweep over every family, side by side in few slots, against one plain trial after the other.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>
#include <numbers>
#include <utility>
#include <vector>

#include "memcap/memory/objective.hpp"
#include "memcap/models/registry.hpp"
#include "memory/mixed_trials.hpp"
#include "support/golden_case.hpp"
#include "support/held_bytes.hpp"
#include "support/threads.hpp"

namespace memcap::memory {
namespace {

using test::expect_same;
using test::mixed_trials;
using test::options;

std::unique_ptr<models::CausalLM> load_model(const std::string& name) {
    return models::load(test::source_folder() / "tests/golden" / name / "model", Precision::float32,
                        at::kCPU);
}

double rate_at(const Protocol& protocol, int step) {
    if (protocol.schedule == Schedule::constant) return protocol.learning_rate;
    return protocol.learning_rate * (1 + std::cos(std::numbers::pi * step / protocol.max_steps)) / 2;
}

/// Losses of the first evaluations, by the plainest form there is: one trial, autograd through stored logits,
/// AdamW written as its paper has it (arXiv 1711.05101, algorithm 2), its state in double.
std::vector<double> plain_losses(const models::CausalLM& model, const plan::Trial& trial, int evaluations) {
    const Protocol& protocol = trial.protocol;
    const Objective objective = objective_of(trial);
    const std::int32_t width = model.description().memory_width;
    const at::Tensor text = model.embed(at::tensor(
        std::vector<std::int64_t>(objective.input_tokens.begin(), objective.input_tokens.end()), at::kLong));
    std::vector<std::int64_t> rows;
    std::vector<std::int64_t> targets;
    for (const auto& scored : objective.scored) {
        rows.push_back(scored.position);
        targets.push_back(scored.target);
    }
    const at::Tensor head = model.head().linear.weight();
    const double cap = model.head().soft_cap;
    at::Tensor memory =
        at::tensor(initial_memory(trial, width, model.embedding_std())).reshape({-1, width}).to(at::kDouble);
    at::Tensor first = at::zeros_like(memory);
    at::Tensor second = at::zeros_like(memory);
    std::vector<double> losses;
    for (int step = 1; step <= evaluations; ++step) {
        const at::Tensor input = memory.to(at::kFloat).requires_grad_(true);
        const at::Tensor hidden =
            model.hidden(at::cat({input, text}), nn::Segments({objective.positions()}, at::kCPU));
        at::Tensor logits = at::matmul(hidden.index_select(0, at::tensor(rows, at::kLong)), head.t());
        if (cap > 0) logits = at::tanh(logits / cap) * cap;
        const auto loss_of = [&](const at::Tensor& of) {
            return at::cross_entropy_loss(of, at::tensor(targets, at::kLong));
        };
        losses.push_back(loss_of(logits).item<double>());
        const at::Tensor followed = loss_of(logits / protocol.loss_temperature);
        const at::Tensor gradient = torch::autograd::grad({followed}, {input})[0].to(at::kDouble);
        const double rate = rate_at(protocol, step);
        first = protocol.beta1 * first + (1 - protocol.beta1) * gradient;
        second = protocol.beta2 * second + (1 - protocol.beta2) * gradient * gradient;
        const at::Tensor slope = (second / (1 - std::pow(protocol.beta2, step))).sqrt() + protocol.epsilon;
        memory = memory * (1 - rate * protocol.weight_decay) -
                 rate * first / (1 - std::pow(protocol.beta1, step)) / slope;
    }
    return losses;
}

class MixedSweep : public ::testing::TestWithParam<std::string> {};

TEST_P(MixedSweep, GivesEachTrialWhatAPlainLoopGivesIt) {
    constexpr int kEvaluations = 12;
    constexpr double kPlainLoss = 2e-4;  // relative: float32 rounds differently in other shapes of a product
    const auto model = load_model(GetParam());
    const auto trials = mixed_trials(model->description().vocabulary_size, 8);
    const auto records = test::together(trials, options(3), std::vector<int>(trials.size(), 0), *model);
    for (const auto& trial : trials) {
        SCOPED_TRACE(trial.id.hex());
        const auto& curve = records.at(trial.id).curve.loss_nats;
        const auto plain =
            plain_losses(*model, trial, std::min<int>(kEvaluations, static_cast<int>(curve.size())));
        for (std::size_t i = 0; i < plain.size(); ++i)
            EXPECT_NEAR(curve[i], plain[i], kPlainLoss * std::max(1.0, plain[i])) << "evaluation " << i + 1;
    }
}

TEST_P(MixedSweep, GivesTheSameTrialsInAnyCompanyAndLayoutWithAnyThreads) {
    const auto model = load_model(GetParam());
    // Some of the slots' rows are fewer than a product is given at least, all of them more.
    const auto trials = mixed_trials(model->description().vocabulary_size, 12);
    const std::vector<int> at_once(trials.size(), 0);
    std::vector<std::map<Id128, record::TrialRecord>> companies;
    for (const auto& [threads, company] : {std::pair{1, options(3)}, std::pair{2, options(12)},
                                           std::pair{1, options(4, RowLayout::fixed, 120)}}) {
        const test::Threads with(threads);
        companies.push_back(test::together(trials, company, at_once, *model));
    }
    for (const auto& trial : trials) {
        SCOPED_TRACE(trial.id.hex());
        const auto single = test::alone(*model, trial);
        test::expect_consistent(*model, trial, single);
        for (const auto& records : companies) expect_same(records.at(trial.id), single);
    }
}

INSTANTIATE_TEST_SUITE_P(OfFamily, MixedSweep,
                         ::testing::Values("gemma2", "gemma3", "gpt-neox-parallel", "gpt-neox-sequential",
                                           "gpt2", "granite-hybrid", "llama-grouped-tied",
                                           "llama-rope-dynamic", "mamba", "mamba2", "mistral-window",
                                           "olmo-clipped", "olmo2", "olmo3", "opt-350m", "opt-pre-norm",
                                           "phi3-longrope", "phi3-partial", "qwen2", "qwen3", "qwen3-moe",
                                           "smollm3"),
                         [](const auto& family) {
                             std::string name = family.param;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

TEST(MixedSweepMemory, IsFlatOverTrialsThatEnterAndLeave) {
    const auto model = load_model("llama-plain");
    for (const RowLayout layout : {RowLayout::exact, RowLayout::fixed}) {
        SlotsEngine engine(*model, options(4, layout, 100));
        const auto counter = std::make_shared<test::HeldBytes>();
        const c10::DebugInfoGuard counting(c10::DebugInfoKind::PROFILER_STATE, counter);
        std::int64_t early = 0;
        std::int64_t most = 0;
        constexpr int kTrials = 400;
        for (int ended = 0, entered = 0; ended < kTrials;) {
            auto trial = test::mixed_trial(model->description().vocabulary_size,
                                           static_cast<std::uint64_t>(entered % 8));
            trial.id = {2, static_cast<std::uint64_t>(entered)};
            trial.protocol.max_steps = 3;
            trial.protocol.schedule = Schedule::constant;
            if (entered < kTrials && engine.has_room(trial)) {
                engine.enter(std::move(trial));
                ++entered;
                continue;
            }
            ended += static_cast<int>(engine.step().size());
            (ended < kTrials / 4 ? early : most) =
                std::max(ended < kTrials / 4 ? early : most, counter->held());
        }
        EXPECT_GT(early, 0);
        EXPECT_LE(most, early);
    }
}

}  // namespace
}  // namespace memcap::memory
