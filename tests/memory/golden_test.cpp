// memcap against PyTorch and transformers: logits, losses, gradients and 50 AdamW steps of every golden case.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <map>

#include "memcap/memory/evaluation.hpp"
#include "memcap/memory/objective.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/nn/head_loss.hpp"
#include "support/golden_case.hpp"

namespace memcap::memory {
namespace {

using test::GoldenCase;
using test::json;
using test::relative_error;

constexpr double kTensorTolerance = 1e-5;
constexpr double kLossTolerance = 1e-4;

at::Tensor tokens_of(std::vector<std::int32_t> prefix, const std::vector<std::int32_t>& text) {
    prefix.insert(prefix.end(), text.begin(), text.end());
    return at::tensor(std::vector<std::int64_t>(prefix.begin(), prefix.end()), at::kLong);
}

/// [K + n, E]
at::Tensor input_with(const models::CausalLM& model, const at::Tensor& memory_KE, const at::Tensor& tokens) {
    return at::cat({memory_KE, model.embed(tokens)}, 0);
}

at::Tensor hidden_of(const models::CausalLM& model, const at::Tensor& input_TE) {
    return model.hidden(input_TE, nn::Segments({input_TE.size(0)}, at::kCPU));
}

at::Tensor logits_of(const models::CausalLM& model, const at::Tensor& input_TE) {
    const at::NoGradGuard no_gradients;
    return model.head().logits(hidden_of(model, input_TE));
}

class Golden : public ::testing::TestWithParam<std::string> {
  protected:
    Golden()
        : golden_(GetParam()), model_(models::load(golden_.model_folder(), Precision::float32, at::kCPU)) {}

    at::Tensor no_memory() const { return at::empty({0, model_->description().memory_width}); }

    /// [K, E]: gradient of a run's mean loss at a memory of this shape.
    at::Tensor gradient_of(const models::CausalLM& model, const json& run, const at::Tensor& memory_KE,
                           Target target) const {
        auto trial = golden_.trial(run);
        trial.protocol.target = target;
        const auto objective = objective_of(trial);
        at::Tensor memory = memory_KE.detach().clone().requires_grad_(true);
        const at::Tensor hidden =
            hidden_of(model, input_with(model, memory, tokens_of({}, objective.input_tokens)));
        std::vector<std::int64_t> rows;
        std::vector<std::int64_t> targets;
        for (const auto& scored : objective.scored) {
            rows.push_back(scored.position);
            targets.push_back(scored.target);
        }
        const at::Tensor row = at::tensor(rows, at::kLong);
        const auto count = static_cast<std::int64_t>(rows.size());
        const auto loss =
            nn::head_loss(model.head(), hidden.detach().index_select(0, row), at::tensor(targets, at::kLong),
                          nn::RowLoss{at::full({count}, 1.0 / static_cast<double>(count))});
        const at::Tensor at_hidden = at::zeros_like(hidden).index_copy(0, row, loss.gradient);
        return torch::autograd::grad({hidden}, {memory}, {at_hidden})[0];
    }

    GoldenCase golden_;
    std::unique_ptr<models::CausalLM> model_;
};

/// The random checkpoints, whose configurations were edited.
class GoldenConfig : public Golden {};

/// The cases for which transformers' own bfloat16 gradients were measured: those with bfloat16 files.
class GoldenBfloat : public Golden {};

std::vector<std::string> bfloat_case_names() {
    auto names = test::golden_case_names();
    std::erase_if(names, [](const std::string& name) {
        return !GoldenCase(name).facts()["runs"][0].contains("bfloat16_gradient_median");
    });
    return names;
}

TEST_P(Golden, ScaleOfInitialMemoryIsTheSpreadOfTheEmbeddings) {
    EXPECT_NEAR(model_->embedding_std(), golden_.facts()["embedding_std"].get<double>(), 1e-6);
}

TEST_P(Golden, LogitsAgreeWithAndWithoutMemory) {
    for (const json& run : golden_.facts()["runs"]) {
        const auto name = run["name"].get<std::string>();
        const auto trial = golden_.trial(run);
        const auto compare = [&](const at::Tensor& logits, const std::string& expected) {
            const at::Tensor rows = golden_.expected(name + "/" + expected + "_rows").to(at::kLong);
            EXPECT_LT(relative_error(logits.index_select(0, rows), golden_.expected(name + "/" + expected)),
                      kTensorTolerance)
                << name << " " << expected;
        };
        compare(logits_of(*model_, input_with(*model_, no_memory(), tokens_of(trial.prefix, trial.text))),
                "logits_nomem");
        std::vector<std::int32_t> fed(trial.text.begin(), trial.text.end() - 1);
        compare(logits_of(*model_, input_with(*model_, golden_.expected(name + "/mem0"),
                                              tokens_of(trial.prefix, fed))),
                "logits");
    }
}

TEST_P(Golden, LossAndAccuracyAgreeAndLabelsOffByOneWouldNot) {
    for (const json& run : golden_.facts()["runs"]) {
        const auto name = run["name"].get<std::string>();
        auto trial = golden_.trial(run);
        const auto memory = golden_.floats(name + "/mem0");
        const auto without = evaluate(*model_, objective_without_memory(trial.prefix, trial.text), {});
        EXPECT_NEAR(without.loss_nats, run["loss_nomem_nats"].get<double>(), kLossTolerance) << name;
        EXPECT_NEAR(without.accuracy, run["accuracy_nomem"].get<double>(), 1e-6) << name;
        for (const auto target : {Target::after_first, Target::all}) {
            trial.protocol.target = target;
            const auto now = evaluate(*model_, objective_of(trial), memory);
            const std::string suffix(to_string(target));
            EXPECT_NEAR(now.loss_nats, run["loss_" + suffix + "_nats"].get<double>(), kLossTolerance) << name;
            EXPECT_NEAR(now.accuracy, run["accuracy_" + suffix].get<double>(), 1e-6) << name;
        }
        // The case is fit to tell: shifted labels give another loss.
        for (const char* shifted : {"loss_labels_one_early_nats", "loss_labels_one_late_nats"}) {
            if (!run.contains(shifted) || run[shifted].is_null()) continue;
            EXPECT_GT(std::abs(run[shifted].get<double>() - run["loss_after_first_nats"].get<double>()),
                      100 * kLossTolerance);
        }
    }
}

TEST_P(Golden, GradientAtTheMemoryAgrees) {
    for (const json& run : golden_.facts()["runs"]) {
        const auto name = run["name"].get<std::string>();
        for (const auto target : {Target::after_first, Target::all}) {
            const std::string suffix(to_string(target));
            EXPECT_LT(relative_error(gradient_of(*model_, run, golden_.expected(name + "/mem0"), target),
                                     golden_.expected(name + "/grad_" + suffix)),
                      kTensorTolerance)
                << name << " " << suffix;
        }
    }
}

TEST_P(Golden, FiftyStepsAgree) {
    for (const json& run : golden_.facts()["runs"]) {
        const auto name = run["name"].get<std::string>();
        const auto trial = golden_.trial(run);
        const Id128 id = trial.id;
        const std::int32_t vectors = trial.memory_vectors;
        SlotState start;
        start.memory = golden_.floats(name + "/mem0");
        start.first_moment.assign(start.memory.size(), 0.0F);
        start.second_moment.assign(start.memory.size(), 0.0F);
        SlotsEngine engine(*model_,
                           {.slots = 1, .position_budget = 0, .keep_vectors = true, .curve_every = 1});
        engine.enter(trial, start);
        std::vector<record::TrialRecord> ended;
        for (int i = 0; i < 50 && ended.empty(); ++i) ended = engine.step();
        // A run whose max_steps is 50 ends with evaluation 50; the others are still in their slot then.
        const record::Curve curve = ended.empty() ? engine.export_state(id).curve : ended[0].curve;
        const std::int32_t best =
            ended.empty() ? engine.export_state(id).best_evaluation : ended[0].best_evaluation;
        const at::Tensor losses = golden_.expected(name + "/losses");
        const at::Tensor accuracies = golden_.expected(name + "/accuracies");
        ASSERT_EQ(curve.loss_nats.size(), 50U);
        for (std::int64_t i = 0; i < 50; ++i) {
            EXPECT_NEAR(curve.loss_nats[static_cast<std::size_t>(i)], losses[i].item<float>(), kLossTolerance)
                << name << " evaluation " << i + 1;
            EXPECT_NEAR(curve.accuracy[static_cast<std::size_t>(i)], accuracies[i].item<float>(), 1e-6)
                << name << " evaluation " << i + 1;
        }
        EXPECT_EQ(best, run["best_evaluation"].get<std::int32_t>()) << name;
        if (!ended.empty()) continue;
        const at::Tensor memory = at::tensor(engine.export_state(id).memory).reshape({vectors, -1});
        EXPECT_LT(relative_error(memory, golden_.expected(name + "/memory_after_50")), 1e-3) << name;
    }
}

TEST_P(Golden, RunsSideBySideInOneBatchAgree) {
    SlotsEngine engine(*model_, {.slots = 8, .position_budget = 0, .keep_vectors = false, .curve_every = 1});
    std::vector<std::pair<const json*, Id128>> entered;
    for (const json& run : golden_.facts()["runs"]) {
        auto trial = golden_.trial(run);
        trial.id.low = entered.size();
        SlotState start;
        start.memory = golden_.floats(run["name"].get<std::string>() + "/mem0");
        start.first_moment.assign(start.memory.size(), 0.0F);
        start.second_moment.assign(start.memory.size(), 0.0F);
        engine.enter(trial, start);
        entered.emplace_back(&run, trial.id);
    }
    ASSERT_GE(entered.size(), 2U);
    constexpr std::int64_t kSteps = 20;
    std::map<Id128, record::Curve> curves;
    for (std::int64_t i = 0; i < kSteps; ++i) {
        for (auto& ended : engine.step()) curves[ended.trial_id] = std::move(ended.curve);
    }
    for (const auto& [run, id] : entered) {
        const auto name = (*run)["name"].get<std::string>();
        const record::Curve curve = curves.contains(id) ? curves[id] : engine.export_state(id).curve;
        const at::Tensor losses = golden_.expected(name + "/losses");
        for (std::size_t i = 0; i < std::min<std::size_t>(curve.loss_nats.size(), kSteps); ++i) {
            EXPECT_NEAR(curve.loss_nats[i], losses[static_cast<std::int64_t>(i)].item<float>(),
                        kLossTolerance)
                << name << " evaluation " << i + 1;
        }
    }
}

TEST_P(Golden, BestVectorIsTheOneThatReachedTheBestAccuracy) {
    for (const json& run : golden_.facts()["runs"]) {
        const auto name = run["name"].get<std::string>();
        auto trial = golden_.trial(run);
        trial.protocol.schedule = Schedule::constant;
        trial.protocol.warmup_steps = 0;
        trial.protocol.max_steps = 50;
        SlotsEngine engine(*model_,
                           {.slots = 1, .position_budget = 0, .keep_vectors = true, .curve_every = 0});
        engine.enter(trial);
        std::vector<record::TrialRecord> ended;
        while (ended.empty()) ended = engine.step();
        const auto now = evaluate(*model_, objective_of(trial), ended[0].vector);
        EXPECT_NEAR(now.loss_nats, ended[0].loss_nats, 1e-5) << name;
        EXPECT_EQ(now.correct_tokens, ended[0].correct_tokens) << name;
    }
}

TEST_P(GoldenConfig, EachKeyMovesTheLogitsAsInTransformers) {
    if (!golden_.facts().contains("config_moves"))
        GTEST_SKIP() << "the shipped model has no edited configurations";
    const json* run = nullptr;
    for (const json& candidate : golden_.facts()["runs"]) {
        if (candidate["name"] == "long") run = &candidate;
    }
    ASSERT_NE(run, nullptr);
    const auto trial = golden_.trial(*run);
    std::vector<std::int32_t> fed(trial.text.begin(), trial.text.end() - 1);
    const auto last_row = [&](const models::CausalLM& model) {
        return logits_of(model,
                         input_with(model, golden_.expected("long/mem0"), tokens_of(trial.prefix, fed)))[-1];
    };
    const at::Tensor unchanged = last_row(*model_);
    for (const json& move : golden_.facts()["config_moves"]) {
        const auto name = move["name"].get<std::string>();
        const test::PatchedModel patched(golden_.model_folder(), move["patch"],
                                         move.value("index_patch", json::object()));
        const at::Tensor moved = last_row(*models::load(patched.path(), Precision::float32, at::kCPU));
        EXPECT_LT(relative_error(moved, golden_.expected("change/" + name)), kTensorTolerance) << name;
        EXPECT_GT((moved - unchanged).abs().max().item<double>(), 1e-3) << name;
    }
}

TEST_P(GoldenConfig, OtherSpellingsOfTheConfigAreTheSameModel) {
    for (const auto& form : golden_.facts().value("config_forms", std::vector<std::string>{})) {
        test::TemporaryFolder folder;
        test::fs::copy(golden_.model_folder(), folder.path(),
                       test::fs::copy_options::recursive | test::fs::copy_options::overwrite_existing);
        test::fs::copy_file(golden_.model_folder() / form, folder.path() / "config.json",
                            test::fs::copy_options::overwrite_existing);
        const auto model = models::load(folder.path(), Precision::float32, at::kCPU);
        const auto trial = golden_.trial(golden_.facts()["runs"][0]);
        const auto input = input_with(*model, no_memory(), tokens_of(trial.prefix, trial.text));
        EXPECT_TRUE(at::equal(logits_of(*model, input), logits_of(*model_, input))) << form;
    }
}

TEST_P(GoldenConfig, EditsThatTransformersIgnoresKeepTheLogits) {
    const auto trial = golden_.trial(golden_.facts()["runs"][0]);
    const auto input = input_with(*model_, no_memory(), tokens_of(trial.prefix, trial.text));
    for (const json& edit : golden_.facts().value("config_keeps", json::array())) {
        const test::PatchedModel patched(golden_.model_folder(), edit["patch"]);
        const auto model = models::load(patched.path(), Precision::float32, at::kCPU);
        EXPECT_TRUE(at::equal(logits_of(*model, input), logits_of(*model_, input))) << edit.dump();
    }
}

TEST(GoldenShipped, ModelIsTheOneThatTheValuesCameFrom) {
    const GoldenCase golden("ink-64");
    EXPECT_EQ(hub::weights_sha256(golden.model_folder()),
              golden.facts()["sha256"]["model.safetensors"].get<std::string>())
        << "make the values again: tests/golden/README.md";
}

TEST_P(GoldenConfig, UnsupportedKeyIsRefusedByName) {
    for (const json& edit : golden_.facts().value("config_unsupported", json::array())) {
        const test::PatchedModel patched(golden_.model_folder(), edit["patch"]);
        EXPECT_THROW(models::describe(patched.path()), DataError) << edit.dump();
    }
}

TEST_P(Golden, BfloatProductsStayWithinTransformersOwnError) {
    const auto model = models::load(golden_.model_folder(), Precision::bfloat16, at::kCPU);
    for (const json& run : golden_.facts()["runs"]) {
        const auto name = run["name"].get<std::string>();
        const auto trial = golden_.trial(run);
        std::vector<std::int32_t> fed(trial.text.begin(), trial.text.end() - 1);
        const at::Tensor rows = golden_.expected(name + "/logits_rows").to(at::kLong);
        const at::Tensor logits = logits_of(*model, input_with(*model, golden_.expected(name + "/mem0"),
                                                               tokens_of(trial.prefix, fed)))
                                      .index_select(0, rows);
        const auto allowed = [](const json& error) {
            return 1.5 * std::max(error["autocast"].get<double>(), error["whole_model"].get<double>());
        };
        EXPECT_LT(relative_error(logits, golden_.expected(name + "/logits")),
                  allowed(run["bfloat16_logits_error"]))
            << name;
    }
}

TEST_P(GoldenBfloat, GradientsAreAsGoodAsThoseOfTransformers) {
    const auto rounded = models::load(golden_.model_folder(), Precision::bfloat16, at::kCPU);
    for (const json& run : golden_.facts()["runs"]) {
        at::manual_seed(1);
        // As over there the median: at a single memory the error is chance, by a rectifier that flips.
        std::vector<double> errors;
        for (int i = 0; i < 30; ++i) {
            const at::Tensor memory =
                at::randn_like(golden_.expected(run["name"].get<std::string>() + "/mem0")) *
                model_->embedding_std();
            const at::Tensor expected = gradient_of(*model_, run, memory, Target::after_first);
            const at::Tensor found = gradient_of(*rounded, run, memory, Target::after_first);
            errors.push_back(((found - expected).norm() / expected.norm()).item<double>());
        }
        std::nth_element(errors.begin(), errors.begin() + 15, errors.end());
        const json& theirs = run["bfloat16_gradient_median"];
        EXPECT_LT(errors[15],
                  1.5 * std::max(theirs["autocast"].get<double>(), theirs["whole_model"].get<double>()))
            << run["name"];
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, ::testing::ValuesIn(test::golden_case_names()), test::test_name);
INSTANTIATE_TEST_SUITE_P(Cases, GoldenBfloat, ::testing::ValuesIn(bfloat_case_names()), test::test_name);
INSTANTIATE_TEST_SUITE_P(Cases, GoldenConfig, ::testing::ValuesIn(test::random_checkpoint_names()),
                         test::test_name);

}  // namespace
}  // namespace memcap::memory
