// The protocol: learning rates worked out by hand, scored tokens, names of the choices.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "memcap/base/contracts.hpp"
#include "memcap/base/protocol.hpp"

namespace memcap {
namespace {

Protocol with_schedule(Schedule schedule, std::int32_t warmup_steps, std::int32_t max_steps) {
    Protocol protocol;
    protocol.learning_rate = 0.3;
    protocol.schedule = schedule;
    protocol.warmup_steps = warmup_steps;
    protocol.max_steps = max_steps;
    return protocol;
}

TEST(Protocol, DefaultsAreThePapers) {
    const Protocol paper;
    EXPECT_EQ(paper.learning_rate, 0.01);
    EXPECT_EQ(paper.beta1, 0.9);
    EXPECT_EQ(paper.beta2, 0.9);
    EXPECT_EQ(paper.weight_decay, 0.01);
    EXPECT_EQ(paper.epsilon, 1e-8);
    EXPECT_EQ(paper.max_steps, 5000);
    EXPECT_EQ(paper.patience, 2000);
    EXPECT_EQ(paper.stop_accuracy, 1.0);
    EXPECT_EQ(paper.schedule, Schedule::constant);
    EXPECT_EQ(paper.warmup_steps, 0);
    EXPECT_EQ(paper.target, Target::after_first);
    EXPECT_EQ(paper.init_scale, 1.0);
    for (const int step : {1, 2, 2500, 5000}) EXPECT_EQ(learning_rate_at(paper, step), 0.01);
}

TEST(LearningRate, RisesLinearlyToTheEndOfTheWarmUpInEverySchedule) {
    for (const Schedule schedule : {Schedule::constant, Schedule::cosine, Schedule::linear}) {
        const Protocol protocol = with_schedule(schedule, 10, 410);
        EXPECT_DOUBLE_EQ(learning_rate_at(protocol, 1), 0.03);
        EXPECT_DOUBLE_EQ(learning_rate_at(protocol, 5), 0.15);
        EXPECT_DOUBLE_EQ(learning_rate_at(protocol, 10), 0.3);
    }
}

TEST(LearningRate, StaysConstantAfterTheWarmUp) {
    const Protocol protocol = with_schedule(Schedule::constant, 10, 410);
    EXPECT_DOUBLE_EQ(learning_rate_at(protocol, 11), 0.3);
    EXPECT_DOUBLE_EQ(learning_rate_at(protocol, 410), 0.3);
}

TEST(LearningRate, CosineFallsToZero) {
    const Protocol protocol = with_schedule(Schedule::cosine, 10, 410);
    EXPECT_NEAR(learning_rate_at(protocol, 110), 0.2560660171779821, 1e-15);  // .15 (1 + sqrt(1/2))
    EXPECT_NEAR(learning_rate_at(protocol, 210), 0.15, 1e-15);
    EXPECT_NEAR(learning_rate_at(protocol, 310), 0.0439339828220179, 1e-15);  // .15 (1 - sqrt(1/2))
    EXPECT_NEAR(learning_rate_at(protocol, 410), 0.0, 1e-15);
}

TEST(LearningRate, LinearFallsToZero) {
    const Protocol protocol = with_schedule(Schedule::linear, 10, 410);
    EXPECT_NEAR(learning_rate_at(protocol, 110), 0.225, 1e-15);
    EXPECT_NEAR(learning_rate_at(protocol, 310), 0.075, 1e-15);
    EXPECT_NEAR(learning_rate_at(protocol, 410), 0.0, 1e-15);
}

TEST(LearningRate, WithoutWarmUpTheFirstStepHasAlreadyFallen) {
    EXPECT_NEAR(learning_rate_at(with_schedule(Schedule::linear, 0, 100), 1), 0.297, 1e-15);
    EXPECT_NEAR(learning_rate_at(with_schedule(Schedule::cosine, 0, 6), 1), 0.15 * (1 + std::sqrt(0.75)),
                1e-15);
    EXPECT_NEAR(learning_rate_at(with_schedule(Schedule::cosine, 0, 6), 2), 0.225, 1e-15);
}

TEST(LearningRate, IsANumberWhereTheWarmUpFillsTheWholeRun) {
    const Protocol protocol = with_schedule(Schedule::cosine, 20, 20);
    EXPECT_DOUBLE_EQ(learning_rate_at(protocol, 20), 0.3);
    EXPECT_DOUBLE_EQ(learning_rate_at(protocol, 1), 0.015);
}

TEST(LearningRate, StepsCountFromOne) {
    EXPECT_THROW(learning_rate_at(Protocol{}, 0), ContractViolation);
}

TEST(ScoredTokens, LeaveOutTheFirstUnlessTheTargetIsAll) {
    EXPECT_EQ(scored_tokens(Target::after_first, 64), 63);
    EXPECT_EQ(scored_tokens(Target::after_first, 2), 1);
    EXPECT_EQ(scored_tokens(Target::all, 64), 64);
    EXPECT_EQ(scored_tokens(Target::all, 1), 1);
}

TEST(Names, OfEachChoiceAreParsedBack) {
    for (const auto value : {Precision::float32, Precision::bfloat16, Precision::float16, Precision::tf32})
        EXPECT_EQ(parse_precision(to_string(value)), value);
    for (const auto value : {Schedule::constant, Schedule::cosine, Schedule::linear})
        EXPECT_EQ(parse_schedule(to_string(value)), value);
    for (const auto value : {Target::after_first, Target::all})
        EXPECT_EQ(parse_target(to_string(value)), value);
    EXPECT_EQ(parse_optimiser("adamw"), OptimiserKind::adamw);
    EXPECT_EQ(parse_init("normal"), InitKind::normal);
    EXPECT_EQ(to_string(Precision::bfloat16), "bfloat16");
    EXPECT_EQ(to_string(Target::after_first), "after_first");
}

TEST(Names, ThatAreNotExactlyAChoiceAreRefused) {
    EXPECT_FALSE(parse_precision("Float32"));
    EXPECT_FALSE(parse_precision("float32 "));
    EXPECT_FALSE(parse_precision(""));
    EXPECT_FALSE(parse_schedule("step"));
    EXPECT_FALSE(parse_target("first"));
    EXPECT_FALSE(parse_optimiser("sgd"));
    EXPECT_FALSE(parse_init("uniform"));
}

}  // namespace
}  // namespace memcap
