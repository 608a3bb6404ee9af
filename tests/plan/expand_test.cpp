// Token requests, and the expansion of sweeps into trials and rows.
#include "memcap/plan/expand.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <tuple>

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
        axes.insert(row.axes);
        ids.insert(row.trial_id);
        EXPECT_EQ(plan.trials.at(row.trial).id, row.trial_id);
    }
    EXPECT_EQ(axes.size(), plan.rows.size());
    EXPECT_EQ(ids.size(), plan.trials.size());
    EXPECT_EQ(plan.rows.at(0).axes.sample, 0);
    EXPECT_EQ(plan.rows.at(1).axes.sample, 1);
    EXPECT_EQ(plan.rows.at(3).axes.seed, 1U);
}

TEST(Expand, CutsTextFromTheFrontAndPrefixFromTheBack) {
    const Plan plan = plan_of(
        "  - {models: b, corpora: c, memory_vectors: 2, lengths: 5, prefix: 3, seeds: 9, protocols: hot, "
        "precision: "
        "float16}\n");
    ASSERT_EQ(plan.trials.size(), 3U);
    const Trial& trial = plan.trials.at(1);
    EXPECT_EQ(trial.text, tokens_from(1000, 5));
    EXPECT_EQ(trial.prefix, tokens_from(1507, 3));
    EXPECT_EQ(trial.model, 1);
    EXPECT_EQ(trial.memory_vectors, 2);
    EXPECT_EQ(trial.seed, 9U);
    EXPECT_EQ(trial.precision, Precision::float16);
    EXPECT_EQ(trial.protocol.learning_rate, 0.3);
    EXPECT_EQ(trial.positions(), 2 + 3 + 5 - 1);
    EXPECT_EQ(trial.id, trial_id(trial, kModels[1]));
    const Row& row = plan.rows.at(1);
    EXPECT_EQ(row.scored_tokens, 4);
    EXPECT_EQ(row.token_sample, 1);
    EXPECT_EQ(row.token_table, (Id128{.high = 1, .low = 0}));
}

/// The trials of one text of 40 tokens that is opened by two, with a prefix of 10.
Plan opened_plan(const std::string& prefix, const std::string& lengths, std::vector<std::int32_t> lead) {
    const auto experiment = experiment_with(
        "  - {models: a, corpora: c, memory_vectors: 1, lengths: " + lengths + ", prefix: " + prefix + "}\n");
    auto tables = answer(experiment);
    for (auto& table : tables) {
        table.samples.resize(1);
        table.samples[0].opening = 2;
        table.samples[0].lead = lead;
    }
    return expand(experiment, tables, kModels);
}

TEST(Expand, PutsWhatOpensAnInputBeforeThePrefixAndCountsItThere) {
    const Plan plan = opened_plan("[0, 4]", "[5]", {0, 1});
    ASSERT_EQ(plan.trials.size(), 2U);
    EXPECT_EQ(plan.trials[0].text, tokens_from(0, 5));
    EXPECT_THAT(plan.trials[0].prefix, ElementsAre());
    EXPECT_THAT(plan.trials[1].prefix, ElementsAre(0, 1, 508, 509));
    EXPECT_EQ(plan.trials[1].text, tokens_from(2, 5)) << "the text's own tokens alone";
    EXPECT_EQ(plan.trials[1].positions(), 1 + 4 + 5 - 1);
    EXPECT_EQ(plan.rows[1].scored_tokens, 4);
}

TEST(Expand, LeavesAwayWhatOpensAnInputWhereThePrefixHasNone) {
    const Plan plan = opened_plan("[4]", "[5]", {});
    EXPECT_EQ(plan.trials.at(0).prefix, tokens_from(506, 4));
    EXPECT_EQ(plan.trials.at(0).text, tokens_from(2, 5));
}

TEST(Expand, CountsOnlyTheTextsOwnTokensBehindAPrefix) {
    const Plan plan = opened_plan("[0, 12, 13]", "[38, 39]", {0, 1});
    std::vector<std::string> reasons;
    for (const Skipped& skipped : plan.skipped) reasons.push_back(skipped.text());
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
    EXPECT_EQ(plan.skipped[1].text(), "text that cannot be encoded: no token for it");
    EXPECT_EQ(plan.skipped[1].axes.sample, 1);
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
    EXPECT_EQ(plan.rows[0].axes.protocol, "paper");
    EXPECT_EQ(plan.rows[3].axes.protocol, "same");
    EXPECT_EQ(plan.rows[0].trial, plan.rows[3].trial);
    EXPECT_EQ(plan.rows[0].trial_id, plan.rows[3].trial_id);
}

TEST(Expand, TargetAllScoresTheFirstTokenToo) {
    const Plan plan =
        plan_of("  - {models: a, corpora: c, memory_vectors: 1, lengths: 4, protocols: [paper, every]}\n");
    EXPECT_EQ(plan.rows.at(0).scored_tokens, 3);
    EXPECT_EQ(plan.rows.at(3).scored_tokens, 4);
    EXPECT_NE(plan.rows.at(0).trial_id, plan.rows.at(3).trial_id);
}

TEST(Expand, ASeedChangesTheWordsOfRandomTextButNotATextOfACorpus) {
    const Plan plan =
        plan_of("  - {models: a, corpora: [c, r], memory_vectors: 1, lengths: 4, seeds: [0, 1]}\n");
    ASSERT_EQ(plan.trials.size(), 6U + 4U);
    EXPECT_EQ(plan.trials[0].text, plan.trials[3].text);
    EXPECT_NE(plan.trials[0].id, plan.trials[3].id);
    EXPECT_NE(plan.trials[6].text, plan.trials[8].text);
}

TEST(Expand, DrawnLengthsGiveEachSampleItsOwn) {
    const Plan plan = plan_of(
        "  - {models: a, corpora: r, memory_vectors: 1, lengths: {uniform: [2, 12]}, seeds: [0, 3]}\n");
    ASSERT_EQ(plan.rows.size(), 4U);
    for (const Row& row : plan.rows) {
        EXPECT_EQ(row.axes.length, drawn_length(row.axes.seed, row.axes.sample, 2, 12));
        EXPECT_EQ(plan.trials.at(row.trial).text.size(), static_cast<std::size_t>(row.axes.length));
    }
}

TEST(Expand, NamesWhatItSkipsAndWhy) {
    // Samples have 40, 39 and 38 text tokens and 10 prefix tokens; the context is 64.
    const Plan plan = plan_of(
        "  - {models: a, corpora: c, memory_vectors: [8], lengths: [4, 39]}\n"
        "  - {models: a, corpora: c, memory_vectors: [1], lengths: [4], prefix: [10, 11]}\n"
        "  - {models: a, corpora: c, memory_vectors: [27, 28], lengths: [38]}\n");
    std::vector<std::string> reasons;
    for (const Skipped& skipped : plan.skipped) reasons.push_back(skipped.text());
    EXPECT_THAT(reasons,
                ElementsAre("more memory vectors than tokens (K > N): 8 vectors for 4 tokens",
                            "more memory vectors than tokens (K > N): 8 vectors for 4 tokens",
                            "more memory vectors than tokens (K > N): 8 vectors for 4 tokens",
                            "text too short: has 38 of 39 tokens", "prefix too short: has 10 of 11 tokens",
                            "prefix too short: has 10 of 11 tokens", "prefix too short: has 10 of 11 tokens",
                            "beyond the model's context: 65 positions, the model takes 64",
                            "beyond the model's context: 65 positions, the model takes 64",
                            "beyond the model's context: 65 positions, the model takes 64"));
    EXPECT_EQ(plan.skipped.at(3).axes.sample, 2);
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
