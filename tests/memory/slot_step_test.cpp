// The rules of a slot's step against the protocol's own formulas.
#include "memory/detail/slot_step.hpp"

#include <gtest/gtest.h>

#include "memcap/base/protocol.hpp"
#include "memcap/base/random.hpp"

namespace memcap::memory::detail {
namespace {

TEST(SlotStep, RateIsThatOfTheProtocolAtEachStep) {
    constexpr std::pair<Schedule, RateShape> kShapes[] = {{Schedule::constant, RateShape::constant},
                                                          {Schedule::cosine, RateShape::cosine},
                                                          {Schedule::linear, RateShape::linear}};
    RandomStream stream({3, 9});
    for (int i = 0; i < 300; ++i) {
        const auto& [schedule, shape] = kShapes[i % 3];
        Protocol protocol;
        protocol.schedule = schedule;
        protocol.learning_rate = 1e-4 * static_cast<double>(1 + stream.below(10'000));
        protocol.max_steps = 1 + static_cast<std::int32_t>(stream.below(5'000));
        protocol.warmup_steps = static_cast<std::int32_t>(
            stream.below(static_cast<std::uint64_t>(i % 2 == 0 ? 1 : protocol.max_steps)));
        SlotRules rules;
        rules.learning_rate = protocol.learning_rate;
        rules.shape = shape;
        rules.warmup_steps = protocol.warmup_steps;
        rules.max_steps = protocol.max_steps;
        const auto check = [&](std::int32_t step) {
            EXPECT_EQ(rate_of(rules, step), learning_rate_at(protocol, step))
                << "step " << step << " of " << protocol.max_steps << ", warm-up " << protocol.warmup_steps;
        };
        for (const std::int32_t edge :
             {1, protocol.warmup_steps, protocol.warmup_steps + 1, protocol.max_steps})
            if (edge >= 1) check(edge);
        for (int sample = 0; sample < 20; ++sample)
            check(1 +
                  static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(protocol.max_steps))));
    }
}

// By hand: m = 0.1 g, v = 0.001 g^2, and both corrections take their factors out again.
TEST(SlotStep, TheFirstUpdateMovesByTheRateAgainstTheSignOfTheGradient) {
    SlotRules rules;
    rules.learning_rate = 0.01;
    rules.beta1 = 0.9;
    rules.beta2 = 0.999;
    rules.weight_decay = 0.5;
    rules.epsilon = 1e-8;
    rules.max_steps = 100;
    for (const float scale : {1.0F, 64.0F}) {
        rules.gradient_scale = scale;
        float memory = 2.0F;
        float first_moment = 0.0F;
        float second_moment = 0.0F;
        adamw_move(adamw_factors(rules, 1), scale * -0.25F, memory, first_moment, second_moment);
        EXPECT_FLOAT_EQ(first_moment, -0.025F);
        EXPECT_FLOAT_EQ(second_moment, 0.001F * 0.0625F);
        EXPECT_FLOAT_EQ(memory, 2.0F * (1.0F - 0.01F * 0.5F) + 0.01F);
    }
}

}  // namespace
}  // namespace memcap::memory::detail
