// Encoded trials: the way there and back, and damaged bytes.
#include "memcap/plan/codec.hpp"

#include <gtest/gtest.h>

namespace memcap::plan {
namespace {

/// A trial whose every field differs from its default.
Trial example() {
    Trial trial;
    trial.id = Id128{.high = 11, .low = 12};
    trial.model = 2;
    trial.prefix = {7};
    trial.text = {1, 2, 3};
    trial.memory_vectors = 4;
    trial.seed = 18446744073709551615U;
    trial.precision = Precision::tf32;
    trial.protocol = Protocol{.optimiser = OptimiserKind::adamw,
                              .learning_rate = 0.3,
                              .beta1 = 0.1,
                              .beta2 = 0.2,
                              .weight_decay = 0.4,
                              .epsilon = 0.5,
                              .max_steps = 100,
                              .patience = 50,
                              .stop_accuracy = 0.9,
                              .schedule = Schedule::linear,
                              .warmup_steps = 5,
                              .target = Target::all,
                              .init = InitKind::normal,
                              .init_scale = 0.7};
    return trial;
}

TEST(TrialCodec, GivesBackEveryField) {
    const Trial trial = example();
    const Trial again = decode_trial(encode(trial));
    EXPECT_EQ(again.id, trial.id);
    EXPECT_EQ(again.model, trial.model);
    EXPECT_EQ(again.prefix, trial.prefix);
    EXPECT_EQ(again.text, trial.text);
    EXPECT_EQ(again.memory_vectors, trial.memory_vectors);
    EXPECT_EQ(again.seed, trial.seed);
    EXPECT_EQ(again.precision, trial.precision);
    EXPECT_EQ(again.protocol, trial.protocol);
}

TEST(TrialCodec, RefusesEveryCutAndEveryAddedByte) {
    Bytes bytes = encode(example());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_THROW(decode_trial(std::span(bytes).first(size)), TransportError) << size;
    }
    bytes.push_back(std::byte{0});
    EXPECT_THROW(decode_trial(bytes), TransportError);
}

TEST(TrialCodec, RefusesValuesThatNoTrialHas) {
    const auto refused = [](auto change) {
        Trial trial = example();
        change(trial);
        EXPECT_THROW(decode_trial(encode(trial)), TransportError);
    };
    refused([](Trial& t) { t.precision = static_cast<Precision>(4); });
    refused([](Trial& t) { t.protocol.schedule = static_cast<Schedule>(3); });
    refused([](Trial& t) { t.protocol.target = static_cast<Target>(2); });
    refused([](Trial& t) { t.protocol.optimiser = static_cast<OptimiserKind>(2); });
    refused([](Trial& t) { t.protocol.init = static_cast<InitKind>(1); });
    refused([](Trial& t) { t.protocol.max_steps = 0; });
    refused([](Trial& t) { t.protocol.warmup_steps = 100; });
    refused([](Trial& t) { t.model = -1; });
    refused([](Trial& t) { t.text.clear(); });
    refused([](Trial& t) { t.memory_vectors = 0; });
}

}  // namespace
}  // namespace memcap::plan
