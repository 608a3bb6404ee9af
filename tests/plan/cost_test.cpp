// Cost, order, disk space and summary of plans.
#include "memcap/plan/cost.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memcap/plan/disk.hpp"
#include "memcap/plan/order.hpp"
#include "memcap/plan/summary.hpp"
#include "plan/plan_fixtures.hpp"

namespace memcap::plan {
namespace {

using testing::ElementsAre;
using testing_support::answer;
using testing_support::experiment_with;
using testing_support::facts;
using testing_support::tokens_from;

Trial trial_of(std::int32_t model, std::size_t length, std::int32_t max_steps = 100,
               Precision precision = Precision::float32) {
    Trial trial;
    trial.model = model;
    trial.text = tokens_from(0, length);
    trial.protocol.max_steps = max_steps;
    trial.precision = precision;
    return trial;
}

// Pythia-1.4B (24 layers of width 2048, V = 50304): 1208 M block and 103 M head parameters. The expected
// FLOPs are the published reference's 0.676, 2.78 and 9.07 TFLOP for N = 128, 512 and 1568 at K = 1.
TEST(Cost, AgreesWithTheWorkedExampleOfPythia) {
    ModelFacts model;
    model.width = 2048;
    model.attention_width = 2048;
    model.layers = 24;
    model.block_parameters = 1'208'000'000;
    model.head_parameters = 103'000'000;
    EXPECT_NEAR(flops_per_step(model, shape_of(trial_of(0, 128))) / 1e12, 0.676, 0.005);
    EXPECT_NEAR(flops_per_step(model, shape_of(trial_of(0, 512))) / 1e12, 2.78, 0.02);
    EXPECT_NEAR(flops_per_step(model, shape_of(trial_of(0, 1568))) / 1e12, 9.07, 0.05);
}

TEST(Cost, CountsVectorsPrefixAndTargetExactly) {
    ModelFacts model;
    model.width = 20;
    model.attention_width = 10;
    model.layers = 2;
    model.block_parameters = 1000;
    model.head_parameters = 500;
    Trial trial = trial_of(0, 5);
    trial.memory_vectors = 3;
    trial.prefix = {1, 2};
    // T = 3 + 2 + 5 - 1 = 9: 4 * 1000 * 9 + 7 * 81 * 10 * 2 + 4 * 500 * 4
    EXPECT_DOUBLE_EQ(flops_per_step(model, shape_of(trial)), 36'000 + 11'340 + 8'000);
    trial.protocol.target = Target::all;
    EXPECT_DOUBLE_EQ(flops_per_step(model, shape_of(trial)), 36'000 + 11'340 + 10'000);
    EXPECT_DOUBLE_EQ(max_flops(model, shape_of(trial)), 100 * 57'340.0);
}

TEST(Cost, AScanCostsByItsStatesAndNothingByTheSquareOfTheLength) {
    ModelFacts model;
    model.width = 20;
    model.layers = 2;
    model.block_parameters = 1000;
    model.head_parameters = 500;
    model.scan_states = 30;
    const auto cost = [&](std::int32_t length) {
        return flops_per_step(model, shape_of(trial_of(0, length)));
    };
    // T = N at K = 1: 4 * 1000 T + 40 * 30 * 2 T + 4 * 500 (N - 1)
    EXPECT_DOUBLE_EQ(cost(5), 20'000 + 12'000 + 8'000);
    EXPECT_DOUBLE_EQ(cost(50), 200'000 + 120'000 + 98'000);
}

TEST(Cost, ExpertsThatATokenDoesNotTakeAreHeldAndNotComputed) {
    ModelFacts model;
    model.width = 20;
    model.layers = 2;
    model.block_parameters = 1000;
    model.idle_parameters = 600;
    EXPECT_DOUBLE_EQ(flops_per_step(model, shape_of(trial_of(0, 5))), 4 * 400 * 5);
    EXPECT_EQ(weight_bytes(model, 2), 2 * 1000);
}

TEST(Cost, MemoryOfWeightsAndSlotsFollowsThePrecision) {
    const ModelFacts model = facts("a");
    const ValueWidths gpu;
    for (const Precision precision : {Precision::float32, Precision::tf32})
        EXPECT_EQ(weight_bytes(model, gpu.bytes(precision)), (2 * 65'536 + 250'000) * 4);
    for (const Precision precision : {Precision::bfloat16, Precision::float16})
        EXPECT_EQ(weight_bytes(model, gpu.bytes(precision)), (2 * 65'536 + 250'000) * 2);
    const ValueWidths cpu{.bfloat16_bytes = 2, .float16_bytes = 4};
    EXPECT_EQ(cpu.bytes(Precision::bfloat16), 2);
    EXPECT_EQ(cpu.bytes(Precision::float16), 4);
}

TEST(Cost, ASlotTakesWhatItsRowsLeaveAndAsMuchAsTwoLayersMore) {
    ModelFacts model = facts("a");  // D = E = 64, five layers
    model.kept_floats = 5000;
    // (5000 + 2 * 1000 + 4 * 64) floats a row at T = 16 positions; six copies of one vector of 64.
    EXPECT_EQ(slot_bytes(model, shape_of(trial_of(0, 16))), 4 * (7256 * 16 + 6 * 64));
    TrialShape soap = shape_of(trial_of(0, 16));
    soap.optimiser = OptimiserKind::soap;
    EXPECT_EQ(slot_bytes(model, soap), 4 * (7256 * 16 + 6 * 64 + 3 * 64 * 64));
}

TEST(Cost, SlotsFillNineTenthsOfADevice) {
    EXPECT_EQ(slots_that_fit(1000, 100, 100), 8);
    EXPECT_EQ(slots_that_fit(1000, 899, 100), 0);
    EXPECT_EQ(slots_that_fit(1000, 5000, 100), 0);
}

TEST(Affinity, IsOfTheWeightsAndThePrecision) {
    ModelFacts renamed = facts("a");
    renamed.name = "z";
    renamed.path = "/elsewhere";
    EXPECT_EQ(affinity_key(facts("a"), Precision::float32), affinity_key(renamed, Precision::float32));
    EXPECT_NE(affinity_key(facts("a"), Precision::float32), affinity_key(facts("a"), Precision::bfloat16));
    EXPECT_NE(affinity_key(facts("a"), Precision::float32), affinity_key(facts("b"), Precision::float32));
    ModelFacts unread = facts("a");
    unread.weights_sha256.clear();
    ModelFacts other = unread;
    other.name = "other";
    EXPECT_NE(affinity_key(unread, Precision::float32), affinity_key(other, Precision::float32));
}

/// A plan of these trials, which need no texts: only their sizes count.
Plan plan_of(const std::vector<Trial>& trials) {
    Plan plan;
    for (const Trial& trial : trials) {
        PlannedTrial planned;
        planned.table = static_cast<std::uint32_t>(plan.tables.size());
        planned.protocol = static_cast<std::uint32_t>(plan.protocols.size());
        planned.length = static_cast<std::int32_t>(trial.text.size());
        planned.memory_vectors = trial.memory_vectors;
        planned.precision = trial.precision;
        plan.tables.push_back({.model = {}, .corpus = {}, .id = {}, .model_index = trial.model});
        plan.protocols.push_back({.name = {}, .values = trial.protocol});
        plan.trials.push_back(planned);
    }
    return plan;
}

TEST(LeaseOrder, KeepsGroupsTogetherAndStartsWithTheLongest) {
    std::vector<ModelFacts> models{facts("small"), facts("large")};
    models[1].block_parameters *= 100;
    const std::vector<Trial> trials{trial_of(0, 32),
                                    trial_of(1, 4),
                                    trial_of(0, 8),
                                    trial_of(1, 16),
                                    trial_of(0, 32, 500),
                                    trial_of(1, 4),
                                    trial_of(0, 8, 100, Precision::tf32)};
    EXPECT_THAT(lease_order(plan_of(trials), models), ElementsAre(3, 1, 5, 4, 0, 2, 6));
}

TEST(LeaseOrder, ModelsOfEqualContentAreOneGroup) {
    std::vector<ModelFacts> models{facts("a"), facts("a"), facts("b")};
    models[1].name = "the same elsewhere";
    models[2].block_parameters /= 2;
    const std::vector<Trial> trials{trial_of(2, 8), trial_of(0, 8), trial_of(1, 16), trial_of(0, 4)};
    EXPECT_THAT(lease_order(plan_of(trials), models), ElementsAre(2, 1, 3, 0));
}

TEST(LeaseOrder, OfNothingIsEmpty) {
    EXPECT_TRUE(lease_order({}, {}).empty());
}

TEST(DiskUse, CountsVectorsCurvesRowsAndTokens) {
    const auto experiment = experiment_with(
        "  - {models: a, corpora: c, memory_vectors: [1, 8], lengths: [4, 16], protocols: [hot]}\n");
    const std::vector<ModelFacts> models{facts("a"), facts("b")};
    const auto tokens = answer(experiment);
    const Plan plan = expand(experiment, tokens, models);
    ASSERT_EQ(plan.trials.size(), 9U);  // K = 8 has no N = 4
    const DiskUse all = disk_use(plan, tokens, models, {.vectors = true, .curve_every = 10});
    EXPECT_EQ(all.vectors_bytes, 4 * 64 * (6 * 1 + 3 * 8) + 9 * 64);
    // Evaluations 1, 11, ..., 291 and the last one, 300.
    EXPECT_EQ(all.curves_bytes, 9 * 31 * 12);
    EXPECT_EQ(all.tokens_bytes, 2 * 4 * (3 * 10 + 40 + 39 + 38));
    EXPECT_EQ(all.total_bytes(), all.vectors_bytes + all.curves_bytes + all.records_bytes + all.tokens_bytes);
    const DiskUse numbers = disk_use(plan, tokens, models, {.vectors = false, .curve_every = 0});
    EXPECT_EQ(numbers.vectors_bytes + numbers.curves_bytes, 0);
    EXPECT_EQ(numbers.records_bytes, all.records_bytes);
}

TEST(Summary, CountsWeightsInTheTypeThatTheMachineHoldsThemIn) {
    const auto experiment = experiment_with(
        "  - {models: a, corpora: c, memory_vectors: 1, lengths: 16, precision: [float32, float16]}\n");
    const std::vector<ModelFacts> models{facts("a"), facts("b")};
    const Plan plan = expand(experiment, answer(experiment), models);
    Machine machine{.device_bytes = 1'000'000'000};
    const auto weights_of_float16 = [&] {
        const Summary summary = summarise(plan, models, machine);
        EXPECT_EQ(summary.footprints.at(1).precision, Precision::float16);
        return summary.footprints.at(1).weights_bytes;
    };
    EXPECT_EQ(weights_of_float16(), weight_bytes(models[0], 2));
    machine.widths.float16_bytes = 4;
    EXPECT_EQ(weights_of_float16(), weight_bytes(models[0], 4));
}

constexpr std::string_view kSweeps =
    "  - {models: [a, b], corpora: c, memory_vectors: [1, 8], lengths: [4, 16], protocols: [hot]}\n"
    "  - {models: a, corpora: [c, r], memory_vectors: 1, lengths: 16, protocols: [paper, same]}\n";

TEST(Summary, CountsTrialsOnceAndRowsAll) {
    const auto experiment = experiment_with(kSweeps);
    const std::vector<ModelFacts> models{facts("a"), facts("b")};
    const Plan plan = expand(experiment, answer(experiment), models);
    const Summary summary = summarise(plan, models, {});
    // Model a on c: K = 1 at N = 4 and 16, K = 8 at N = 16, three samples each, then paper = same at N = 16.
    ASSERT_EQ(summary.pairs.size(), 3U);
    EXPECT_EQ(summary.pairs[0].model + summary.pairs[0].corpus, "ac");
    EXPECT_EQ(summary.pairs[0].trials, 9 + 3);
    EXPECT_EQ(summary.pairs[0].rows, 9 + 6);
    EXPECT_EQ(summary.pairs[0].longest_positions, 8 + 16 - 1);
    EXPECT_EQ(summary.pairs[1].model + summary.pairs[1].corpus, "bc");
    EXPECT_EQ(summary.pairs[1].trials, 9);
    EXPECT_EQ(summary.pairs[2].model + summary.pairs[2].corpus, "ar");
    EXPECT_EQ(summary.pairs[2].trials, 2);
    EXPECT_EQ(summary.pairs[2].rows, 4);
    EXPECT_EQ(summary.trials, 23);
    EXPECT_EQ(summary.rows, 28);
    EXPECT_EQ(summary.max_steps, 18 * 300 + 5 * 5000);
    ASSERT_EQ(summary.skips.size(), 2U);
    EXPECT_EQ(summary.skipped, 6);
    EXPECT_EQ(summary.skips[0].count, 3);
    EXPECT_EQ(summary.skips[0].first, "sample 0, K = 8, N = 4, prefix 0: 8 vectors for 4 tokens");
    double flops = 0.0;
    for (const PlannedTrial& trial : plan.trials)
        flops += max_flops(models[plan.model_of(trial)], plan.shape_of(trial));
    EXPECT_DOUBLE_EQ(summary.max_flops, flops);
    EXPECT_LT(summary.max_hours, 0.0);
}

TEST(Summary, AsksForTheSpeedOfEachModelInItsPrecisionAndSaysWhatItRestsOn) {
    const auto experiment = experiment_with(kSweeps);
    const std::vector<ModelFacts> models{facts("a"), facts("b")};
    const Plan plan = expand(experiment, answer(experiment), models);
    Machine machine;
    std::vector<double> steps;
    machine.speed = [&](const ModelFacts& model, Precision precision, double flops_per_step) -> Speed {
        EXPECT_EQ(precision, Precision::float32);
        steps.push_back(flops_per_step);
        return {model.name == "a" ? 1e-9 : 4e-9, "as " + model.name};
    };
    const Summary summary = summarise(plan, models, machine);
    EXPECT_DOUBLE_EQ(summary.footprints[0].max_hours, summary.footprints[0].max_flops * 1e-9 / 3600);
    EXPECT_DOUBLE_EQ(summary.footprints[1].max_hours, summary.footprints[1].max_flops * 4e-9 / 3600);
    EXPECT_EQ(summary.footprints[1].hours_basis, "as b");
    // Model b: K = 1 at N = 4 and 16 and K = 8 at N = 16, three samples and 300 steps each.
    const double expected =
        (flops_per_step(models[1], shape_of(trial_of(1, 4))) +
         flops_per_step(models[1], shape_of(trial_of(1, 16))) +
         flops_per_step(models[1], {.memory_vectors = 8, .prefix_tokens = 0, .text_tokens = 16})) /
        3;
    EXPECT_DOUBLE_EQ(steps.at(1), expected);
}

TEST(Summary, PredictsSlotsAndHoursFromTheMachine) {
    const auto experiment = experiment_with(kSweeps);
    const std::vector<ModelFacts> models{facts("a"), facts("b")};
    const Plan plan = expand(experiment, answer(experiment), models);
    Machine machine{.workers = 2,
                    .device_bytes = 1'000'000'000,
                    .speed = [](const ModelFacts& model, Precision, double) -> Speed {
                        return {model.name == "a" ? 1e-9 : 2e-9, ""};
                    },
                    .slots = 0};
    const Summary summary = summarise(plan, models, machine);
    ASSERT_EQ(summary.footprints.size(), 2U);
    const FootprintSummary& a = summary.footprints[0];
    const FootprintSummary& b = summary.footprints[1];
    EXPECT_EQ(a.model, "a");
    EXPECT_EQ(a.slots, slots_that_fit(1'000'000'000, a.weights_bytes, a.slot_bytes));
    EXPECT_GT(a.slots, 10);
    EXPECT_DOUBLE_EQ(a.max_hours, a.max_flops * 1e-9 / 3600 / 2);
    EXPECT_DOUBLE_EQ(summary.max_hours, (a.max_flops * 1e-9 + b.max_flops * 2e-9) / 3600 / 2);
    // A device's logits lie beside the weights: 50 million in float32 leave room for 200 MB less of slots.
    machine.head_logits = 50'000'000;
    EXPECT_EQ(summarise(plan, models, machine).footprints[0].slots,
              (900'000'000 - 200'000'000 - a.weights_bytes) / a.slot_bytes);
    machine.slots = 4;
    EXPECT_EQ(summarise(plan, models, machine).footprints[0].slots, 4);
    machine.speed = [](const ModelFacts& model, Precision, double) -> Speed {
        return {model.name == "a" ? 1e-9 : 0.0, ""};
    };
    EXPECT_LT(summarise(plan, models, machine).max_hours, 0.0);
}

}  // namespace
}  // namespace memcap::plan
