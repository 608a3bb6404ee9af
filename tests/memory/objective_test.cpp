// Which position predicts which token, against alignments written out by hand.
#include "memcap/memory/objective.hpp"

#include <gtest/gtest.h>

namespace memcap::memory {
namespace {

plan::Trial trial_of(std::int32_t memory_vectors, std::vector<std::int32_t> prefix,
                     std::vector<std::int32_t> text, Target target) {
    plan::Trial trial;
    trial.memory_vectors = memory_vectors;
    trial.prefix = std::move(prefix);
    trial.text = std::move(text);
    trial.protocol.target = target;
    return trial;
}

std::vector<std::pair<int, int>> pairs_of(const Objective& objective) {
    std::vector<std::pair<int, int>> pairs;
    for (const auto& scored : objective.scored) pairs.emplace_back(scored.position, scored.target);
    return pairs;
}

using Pairs = std::vector<std::pair<int, int>>;

TEST(Objective, PaperTargetNeverScoresTheFirstToken) {
    // Input: m m 7 8 (9 is not fed); 7 at position 2 predicts 8, 8 at position 3 predicts 9.
    const auto objective = objective_of(trial_of(2, {}, {7, 8, 9}, Target::after_first));
    EXPECT_EQ(objective.input_tokens, (std::vector<std::int32_t>{7, 8}));
    EXPECT_EQ(pairs_of(objective), (Pairs{{2, 8}, {3, 9}}));
    EXPECT_EQ(objective.positions(), 4);
}

TEST(Objective, TargetAllLetsTheLastMemoryVectorPredictTheFirstToken) {
    EXPECT_EQ(pairs_of(objective_of(trial_of(2, {}, {7, 8, 9}, Target::all))),
              (Pairs{{1, 7}, {2, 8}, {3, 9}}));
}

TEST(Objective, PrefixStandsBetweenMemoryAndTextAndIsNotScored) {
    const auto objective = objective_of(trial_of(1, {4, 5}, {7, 8, 9}, Target::after_first));
    EXPECT_EQ(objective.input_tokens, (std::vector<std::int32_t>{4, 5, 7, 8}));
    EXPECT_EQ(pairs_of(objective), (Pairs{{3, 8}, {4, 9}}));
    EXPECT_EQ(pairs_of(objective_of(trial_of(1, {4, 5}, {7, 8, 9}, Target::all))),
              (Pairs{{2, 7}, {3, 8}, {4, 9}}));
}

TEST(Objective, WithoutMemoryTheFirstTokenIsNeverScored) {
    EXPECT_EQ(pairs_of(objective_without_memory({}, std::vector<std::int32_t>{7, 8, 9})),
              (Pairs{{0, 8}, {1, 9}}));
    EXPECT_EQ(
        pairs_of(objective_without_memory(std::vector<std::int32_t>{4}, std::vector<std::int32_t>{7, 8})),
        (Pairs{{1, 8}}));
}

TEST(Objective, InputIsAsLongAsTheTrialSays) {
    const auto trial = trial_of(3, {4, 5}, {7, 8, 9, 10}, Target::after_first);
    EXPECT_EQ(objective_of(trial).positions(), trial.positions());
    EXPECT_EQ(trial.positions(), 3 + 2 + 4 - 1);
}

}  // namespace
}  // namespace memcap::memory
