// Token requests, and the expansion of sweeps into trials and rows.
#include "memcap/plan/expand.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

#include "memcap/base/contracts.hpp"
#include "memcap/plan/identity.hpp"
#include "plan/plan_fixtures.hpp"

namespace memcap::plan {
namespace {

using testing::ElementsAre;
using testing_support::answer;
using testing_support::experiment_with;
using testing_support::facts;
using testing_support::tokens_from;

const std::vector<ModelFacts> kModels{facts("a"), facts("b")};

Plan plan_of(std::string_view sweeps) {
    const auto experiment = experiment_with(sweeps);
    return expand(experiment, answer(experiment), kModels);
}

/// The plan's trials as they reach the workers.
std::vector<Trial> whole_trials(std::string_view sweeps) {
    const auto experiment = experiment_with(sweeps);
    const auto tables = answer(experiment);
    const Plan plan = expand(experiment, tables, kModels);
    std::vector<Trial> trials;
    for (const PlannedTrial& trial : plan.trials) trials.push_back(plan.whole(trial, tables));
    return trials;
}

TEST(TokenRequests, AskOncePerPairForTheLongest) {
    const auto requests = token_requests(
        experiment_with("  - {models: [a, b], corpora: c, memory_vectors: 1, lengths: [4, 16], seeds: [0, "
                        "1], prefix: [0, 8]}\n"
                        "  - {models: a, corpora: c, memory_vectors: 1, lengths: [32], prefix: 3}\n"));
    const TokenRequest of_a{
        .model = "a", .corpus = "c", .seed = {}, .samples = 3, .text_tokens = 32, .prefix_tokens = 8};
    TokenRequest of_b = of_a;
    of_b.model = "b";
    of_b.text_tokens = 16;
    EXPECT_THAT(requests, ElementsAre(of_a, of_b));
}

TEST(TokenRequests, AskForRandomWordsSeedBySeed) {
    const auto requests = token_requests(experiment_with(
        "  - {models: a, corpora: [c, r], memory_vectors: 1, lengths: [8], seeds: [5, 6]}\n"));
    ASSERT_EQ(requests.size(), 3U);
    EXPECT_EQ(requests[0].seed, std::nullopt);
    EXPECT_EQ(requests[1].seed, 5U);
    EXPECT_EQ(requests[2].seed, 6U);
    EXPECT_EQ(requests[2].samples, 2);
}

TEST(TokenRequests, AskForTheLongestDrawnLength) {
    const auto requests = token_requests(
        experiment_with("  - {models: a, corpora: r, memory_vectors: 1, lengths: {uniform: [2, 250]}}\n"));
    ASSERT_EQ(requests.size(), 1U);
    EXPECT_EQ(requests[0].text_tokens, std::max(drawn_length(0, 0, 2, 250), drawn_length(0, 1, 2, 250)));
}

// Expected values from a separate Python implementation of Philox4x32-10 keyed by XXH3-128.
TEST(DrawnLength, IsTheSameOnEveryMachine) {
    EXPECT_THAT((std::vector{drawn_length(0, 0, 2, 250), drawn_length(0, 1, 2, 250),
                             drawn_length(0, 2, 2, 250), drawn_length(0, 3, 2, 250)}),
                ElementsAre(164, 87, 231, 201));
    EXPECT_THAT((std::vector{drawn_length(1, 0, 2, 250), drawn_length(1, 1, 2, 250),
                             drawn_length(1, 2, 2, 250), drawn_length(1, 3, 2, 250)}),
                ElementsAre(33, 35, 79, 223));
}

TEST(DrawnLength, ReachesBothEndsAndNothingBeyond) {
    std::set<std::int32_t> drawn;
    for (std::int32_t sample = 0; sample < 1000; ++sample) drawn.insert(drawn_length(7, sample, 2, 9));
    EXPECT_EQ(drawn, (std::set<std::int32_t>{2, 3, 4, 5, 6, 7, 8, 9}));
    EXPECT_EQ(drawn_length(7, 0, 5, 5), 5);
}

TEST(Expand, MakesTheFullProductInAFixedOrder) {
    const Plan plan = plan_of(
        "  - {models: [a, b], corpora: [c, r], memory_vectors: [1, 2], lengths: [4, 8], seeds: [0, 1],\n"
        "     protocols: [paper, hot], precision: [float32, bfloat16], prefix: 0}\n");
    const std::size_t cells = 2 * 2 * 2 * 2 * 2 * 2;  // models, K, N, seeds, protocols, precisions
    EXPECT_EQ(plan.rows.size(), cells * (3 + 2));
    EXPECT_EQ(plan.trials.size(), plan.rows.size());
    EXPECT_TRUE(plan.skipped.empty());
    std::set<Axes> axes;
    std::set<Id128> ids;
    for (const Row& row : plan.rows) {
        axes.insert(plan.axes_of(row));
        ids.insert(plan.trials.at(row.trial).id);
    }
    EXPECT_EQ(axes.size(), plan.rows.size());
    EXPECT_EQ(ids.size(), plan.trials.size());
    EXPECT_EQ(plan.axes_of(plan.rows.at(0)).sample, 0);
    EXPECT_EQ(plan.axes_of(plan.rows.at(1)).sample, 1);
    EXPECT_EQ(plan.axes_of(plan.rows.at(3)).seed, 1U);
}

TEST(Expand, CutsTextFromTheFrontAndPrefixFromTheBack) {
    constexpr std::string_view kSweep =
        "  - {models: b, corpora: c, memory_vectors: 2, lengths: 5, prefix: 3, seeds: 9, protocols: hot, "
        "precision: "
        "float16}\n";
    const std::vector<Trial> trials = whole_trials(kSweep);
    ASSERT_EQ(trials.size(), 3U);
    const Trial& trial = trials.at(1);
    EXPECT_EQ(trial.text, tokens_from(1000, 5));
    EXPECT_EQ(trial.prefix, tokens_from(1507, 3));
    EXPECT_EQ(trial.model, 1);
    EXPECT_EQ(trial.memory_vectors, 2);
    EXPECT_EQ(trial.seed, 9U);
    EXPECT_EQ(trial.precision, Precision::float16);
    EXPECT_EQ(trial.protocol.learning_rate, 0.3);
    EXPECT_EQ(trial.positions(), 2 + 3 + 5 - 1);
    EXPECT_EQ(trial.id, trial_id(trial, kModels[1]));
    const Plan plan = plan_of(kSweep);
    const Row& row = plan.rows.at(1);
    EXPECT_EQ(row.sample, 1);
    EXPECT_EQ(plan.tables.at(row.table).id, (Id128{.high = 1, .low = 0}));
    EXPECT_EQ(plan.shape_of(plan.trials.at(1)).positions(), trial.positions());
    const Axes axes{.model = "b",
                    .corpus = "c",
                    .sample = 1,
                    .seed = 9,
                    .memory_vectors = 2,
                    .length = 5,
                    .prefix = 3,
                    .protocol = "hot",
                    .precision = Precision::float16};
    EXPECT_EQ(plan.axes_of(row), axes);
}

TEST(Expand, GivesEachTrialTheIdThatItHasByItself) {
    for (const Trial& trial :
         whole_trials("  - {models: [a, b], corpora: c, memory_vectors: [1, 3], lengths: [4, 31], seeds: "
                      "[0, 7],\n     protocols: [paper, hot, every], precision: [float32, tf32], prefix: [0, "
                      "9]}\n"
                      "  - {models: a, corpora: r, memory_vectors: 1, lengths: {uniform: [2, 40]}}\n")) {
        EXPECT_EQ(trial.id, trial_id(trial, kModels[static_cast<std::size_t>(trial.model)]));
    }
}

/// A plan and its trials as they reach the workers.
struct OpenedPlan {
    Plan plan;
    std::vector<Trial> trials;
};

/// Of one text of 40 tokens that is opened by two, with a prefix of 10.
OpenedPlan opened_plan(const std::string& prefix, const std::string& lengths,
                       std::vector<std::int32_t> lead) {
    const auto experiment = experiment_with(
        "  - {models: a, corpora: c, memory_vectors: 1, lengths: " + lengths + ", prefix: " + prefix + "}\n");
    auto tables = answer(experiment);
    for (auto& table : tables) {
        table.samples.resize(1);
        table.samples[0].opening = 2;
        table.samples[0].lead = lead;
    }
    OpenedPlan opened{.plan = expand(experiment, tables, kModels), .trials = {}};
    for (const PlannedTrial& trial : opened.plan.trials)
        opened.trials.push_back(opened.plan.whole(trial, tables));
    return opened;
}

TEST(Expand, PutsWhatOpensAnInputBeforeThePrefixAndCountsItThere) {
    const auto [plan, trials] = opened_plan("[0, 4]", "[5]", {0, 1});
    ASSERT_EQ(trials.size(), 2U);
    EXPECT_EQ(trials[0].text, tokens_from(0, 5));
    EXPECT_THAT(trials[0].prefix, ElementsAre());
    EXPECT_THAT(trials[1].prefix, ElementsAre(0, 1, 508, 509));
    EXPECT_EQ(trials[1].text, tokens_from(2, 5)) << "the text's own tokens alone";
    EXPECT_EQ(trials[1].positions(), 1 + 4 + 5 - 1);
    EXPECT_EQ(plan.shape_of(plan.trials[1]).positions(), trials[1].positions());
}

TEST(Expand, LeavesAwayWhatOpensAnInputWhereThePrefixHasNone) {
    const auto trials = opened_plan("[4]", "[5]", {}).trials;
    EXPECT_EQ(trials.at(0).prefix, tokens_from(506, 4));
    EXPECT_EQ(trials.at(0).text, tokens_from(2, 5));
}

TEST(Expand, CountsOnlyTheTextsOwnTokensBehindAPrefix) {
    const Plan plan = opened_plan("[0, 12, 13]", "[38, 39]", {0, 1}).plan;
    std::vector<std::string> reasons;
    for (const Skipped& skipped : plan.skipped) reasons.push_back(plan.reason_of(skipped));
    EXPECT_EQ(plan.rows.size(), 3U);
    EXPECT_THAT(reasons,
                ElementsAre("text too short: has 38 of 39 tokens", "prefix too short: has 12 of 13 tokens",
                            "text too short: has 38 of 39 tokens"));
}

TEST(Expand, SkipsATextThatCannotBeEncodedWithItsReason) {
    const auto experiment =
        experiment_with("  - {models: a, corpora: c, memory_vectors: 1, lengths: [4, 8]}\n");
    auto tables = answer(experiment);
    tables[0].samples[1] = {.text = {}, .prefix = {}, .problem = "no token for it"};
    const Plan plan = expand(experiment, tables, kModels);
    EXPECT_EQ(plan.rows.size(), 4U);
    ASSERT_EQ(plan.skipped.size(), 2U);
    EXPECT_EQ(plan.reason_of(plan.skipped[1]), "text that cannot be encoded: no token for it");
    EXPECT_EQ(plan.skipped[1].sample, 1);
}

TEST(Expand, EqualTrialsOfTwoSweepsAreOneTrialAndOneRow) {
    const Plan once = plan_of("  - {models: a, corpora: c, memory_vectors: [1, 2], lengths: [4, 8, 16]}\n");
    const Plan overlapping = plan_of(
        "  - {models: a, corpora: c, memory_vectors: [1, 2], lengths: [4, 8]}\n"
        "  - {models: a, corpora: c, memory_vectors: [2, 1], lengths: [16, 8, 4]}\n");
    EXPECT_EQ(once.rows.size(), 18U);
    EXPECT_EQ(overlapping.rows.size(), 18U);
    EXPECT_EQ(overlapping.trials.size(), 18U);
}

TEST(Expand, ProtocolsOfEqualValuesAreOneTrialWithTwoRows) {
    const Plan plan =
        plan_of("  - {models: a, corpora: c, memory_vectors: 1, lengths: 4, protocols: [paper, same]}\n");
    ASSERT_EQ(plan.trials.size(), 3U);
    ASSERT_EQ(plan.rows.size(), 6U);
    EXPECT_EQ(plan.axes_of(plan.rows[0]).protocol, "paper");
    EXPECT_EQ(plan.axes_of(plan.rows[3]).protocol, "same");
    EXPECT_EQ(plan.rows[0].trial, plan.rows[3].trial);
}

TEST(Expand, SamplesOfEqualTextAreOneTrialWithARowEach) {
    const auto experiment = experiment_with("  - {models: a, corpora: c, memory_vectors: 1, lengths: 4}\n");
    auto tables = answer(experiment);
    tables.at(0).samples.at(2) = tables.at(0).samples.at(0);
    const Plan plan = expand(experiment, tables, kModels);
    ASSERT_EQ(plan.trials.size(), 2U);
    ASSERT_EQ(plan.rows.size(), 3U);
    EXPECT_EQ(plan.rows[2].trial, plan.rows[0].trial);
    EXPECT_EQ(plan.axes_of(plan.rows[2]).sample, 2);
}

TEST(Expand, TargetAllScoresTheFirstTokenToo) {
    const Plan plan =
        plan_of("  - {models: a, corpora: c, memory_vectors: 1, lengths: 4, protocols: [paper, every]}\n");
    EXPECT_EQ(plan.shape_of(plan.trials.at(0)).target, Target::after_first);
    EXPECT_EQ(plan.shape_of(plan.trials.at(3)).target, Target::all);
    EXPECT_NE(plan.trials.at(0).id, plan.trials.at(3).id);
}

TEST(Expand, ASeedChangesTheWordsOfRandomTextButNotATextOfACorpus) {
    const auto trials =
        whole_trials("  - {models: a, corpora: [c, r], memory_vectors: 1, lengths: 4, seeds: [0, 1]}\n");
    ASSERT_EQ(trials.size(), 6U + 4U);
    EXPECT_EQ(trials[0].text, trials[3].text);
    EXPECT_NE(trials[0].id, trials[3].id);
    EXPECT_NE(trials[6].text, trials[8].text);
}

TEST(Expand, DrawnLengthsGiveEachSampleItsOwn) {
    const Plan plan = plan_of(
        "  - {models: a, corpora: r, memory_vectors: 1, lengths: {uniform: [2, 12]}, seeds: [0, 3]}\n");
    ASSERT_EQ(plan.rows.size(), 4U);
    for (const Row& row : plan.rows) {
        const Axes axes = plan.axes_of(row);
        EXPECT_EQ(axes.length, drawn_length(axes.seed, axes.sample, 2, 12));
    }
}

TEST(Expand, TellsHowFarItIsAndCanBeEnded) {
    std::string seeds = "0";
    for (int seed = 1; seed < 100; ++seed) seeds += ", " + std::to_string(seed);
    const auto experiment = experiment_with(
        "  - {models: a, corpora: c, memory_vectors: [1, 2], lengths: [4, 5, 6, 7, 8, 9, 10, 11, 12, 13], "
        "seeds: [" +
        seeds + "]}\n");
    const auto tables = answer(experiment);
    std::vector<std::uint64_t> told;
    expand(experiment, tables, kModels, [&](std::uint64_t done, std::uint64_t total) {
        EXPECT_EQ(total, 2U * 10U * 100U * 3U);
        told.push_back(done);
    });
    EXPECT_THAT(told, ElementsAre(4096U));
    const auto end = [](std::uint64_t, std::uint64_t) { throw std::runtime_error("enough"); };
    EXPECT_THROW(expand(experiment, tables, kModels, end), std::runtime_error);
}

TEST(Expand, SkipsSoapWhereMemoryVectorsAreTooWideForIt) {
    auto experiment = experiment_with("  - {models: a, corpora: c, memory_vectors: [1], lengths: [4]}\n");
    experiment.protocols.front().values.optimiser = OptimiserKind::soap;
    const auto tables = answer(experiment);
    std::vector<ModelFacts> models{testing_support::facts("a")};
    models.front().memory_width = 512;
    EXPECT_TRUE(expand(experiment, tables, models).skipped.empty());
    models.front().memory_width = 513;
    const Plan plan = expand(experiment, tables, models);
    EXPECT_TRUE(plan.trials.empty());
    EXPECT_EQ(plan.reason_of(plan.skipped.at(0)),
              "memory vectors too wide for soap: 513 numbers a vector, soap takes 512");
}

TEST(Expand, NamesWhatItSkipsAndWhy) {
    // Samples have 40, 39 and 38 text tokens and 10 prefix tokens; the context is 64.
    const Plan plan = plan_of(
        "  - {models: a, corpora: c, memory_vectors: [8], lengths: [4, 39]}\n"
        "  - {models: a, corpora: c, memory_vectors: [1], lengths: [4], prefix: [10, 11]}\n"
        "  - {models: a, corpora: c, memory_vectors: [27, 28], lengths: [38]}\n");
    std::vector<std::string> reasons;
    for (const Skipped& skipped : plan.skipped) reasons.push_back(plan.reason_of(skipped));
    EXPECT_THAT(reasons,
                ElementsAre("more memory vectors than tokens (K > N): 8 vectors for 4 tokens",
                            "more memory vectors than tokens (K > N): 8 vectors for 4 tokens",
                            "more memory vectors than tokens (K > N): 8 vectors for 4 tokens",
                            "text too short: has 38 of 39 tokens", "prefix too short: has 10 of 11 tokens",
                            "prefix too short: has 10 of 11 tokens", "prefix too short: has 10 of 11 tokens",
                            "beyond the model's context: 65 positions, the model takes 64",
                            "beyond the model's context: 65 positions, the model takes 64",
                            "beyond the model's context: 65 positions, the model takes 64"));
    EXPECT_EQ(plan.axes_of(plan.skipped.at(3)).sample, 2);
    EXPECT_EQ(plan.axes_of(plan.skipped.at(3)).memory_vectors, 8);
    EXPECT_EQ(plan.rows.size(), 2U + 3U + 3U);
}

TEST(Expand, AModelWithoutContextLimitTakesEverything) {
    const auto experiment =
        experiment_with("  - {models: a, corpora: c, memory_vectors: [30], lengths: [38]}\n");
    const std::vector<ModelFacts> unlimited{facts("a", 0)};
    EXPECT_EQ(expand(experiment, answer(experiment), unlimited).rows.size(), 3U);
}

TEST(Expand, SkipsOfTwoSweepsAreListedOnce) {
    const Plan plan = plan_of(
        "  - {models: a, corpora: c, memory_vectors: 8, lengths: 4}\n"
        "  - {models: a, corpora: c, memory_vectors: 8, lengths: 4}\n");
    EXPECT_EQ(plan.skipped.size(), 3U);
}

TEST(Expand, UsesNoMoreSamplesThanTheCorpusAsksFor) {
    const auto experiment = experiment_with("  - {models: a, corpora: c, memory_vectors: 1, lengths: 4}\n");
    auto tables = answer(experiment);
    tables.at(0).samples.push_back({.text = tokens_from(9000, 40), .prefix = {}});
    EXPECT_EQ(expand(experiment, tables, kModels).rows.size(), 3U);
    tables.at(0).samples.resize(2);
    EXPECT_EQ(expand(experiment, tables, kModels).rows.size(), 2U);
}

TEST(Expand, MissingTokensOrModelsAreADefectOfTheCaller) {
    const auto experiment = experiment_with("  - {models: a, corpora: c, memory_vectors: 1, lengths: 4}\n");
    EXPECT_THROW(expand(experiment, {}, kModels), ContractViolation);
    EXPECT_THROW(expand(experiment, answer(experiment), {}), ContractViolation);
}

}  // namespace
}  // namespace memcap::plan
