// Trials that differ in everything that a sweep varies, and what it means that two records of one are the
// same.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "memcap/base/random.hpp"
#include "memcap/memory/evaluation.hpp"
#include "memcap/memory/slots.hpp"

namespace memcap::test {

/// Trial number `index`: N, K, prefix, seed, target, rate, schedule, patience, optimiser, temperature and
/// length all depend on it.
inline plan::Trial mixed_trial(std::int64_t vocabulary, std::uint64_t index) {
    RandomStream stream({7, index});
    plan::Trial trial;
    trial.id = {1, index};
    trial.seed = index;
    trial.memory_vectors = 1 + static_cast<std::int32_t>(stream.below(4));
    const auto draw = [&](std::size_t count) {
        std::vector<std::int32_t> tokens(count);
        for (auto& token : tokens)
            token = static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(vocabulary)));
        return tokens;
    };
    trial.text = draw(4 + stream.below(16));
    trial.prefix = draw(index % 3 == 0 ? stream.below(6) : 0);
    trial.protocol.learning_rate = index % 2 == 0 ? 0.01 : 0.02;
    trial.protocol.max_steps = 60 + static_cast<std::int32_t>(index);
    trial.protocol.patience = index % 4 == 0 ? 25 : 1000;
    trial.protocol.schedule = index % 5 == 0 ? Schedule::cosine : Schedule::constant;
    trial.protocol.optimiser = index % 6 == 5 ? OptimiserKind::soap : OptimiserKind::adamw;
    trial.protocol.loss_temperature = index % 6 == 3 ? 0.5 : 1.0;
    trial.protocol.target = index % 7 == 0 ? Target::all : Target::after_first;
    return trial;
}

inline std::vector<plan::Trial> mixed_trials(std::int64_t vocabulary, std::uint64_t count) {
    std::vector<plan::Trial> trials;
    for (std::uint64_t i = 0; i < count; ++i) trials.push_back(mixed_trial(vocabulary, i));
    return trials;
}

inline memory::SlotsOptions options(std::int32_t slots, memory::RowLayout layout = memory::RowLayout::exact,
                                    std::int64_t position_budget = 0) {
    return {.slots = slots,
            .position_budget = position_budget,
            .keep_vectors = true,
            .curve_every = 1,
            .layout = layout};
}

inline record::TrialRecord alone(const models::CausalLM& model, const plan::Trial& trial) {
    memory::SlotsEngine engine(model, options(1));
    engine.enter(trial);
    std::vector<record::TrialRecord> ended;
    while (ended.empty()) ended = engine.step();
    return ended[0];
}

/// Runs all trials in `slots` slots; a new one enters as soon as there is room, but not before step
/// `start[i]`.
inline std::map<Id128, record::TrialRecord> together(const std::vector<plan::Trial>& trials,
                                                     memory::SlotsOptions options,
                                                     const std::vector<int>& start,
                                                     const models::CausalLM& model) {
    memory::SlotsEngine engine(model, options);
    std::map<Id128, record::TrialRecord> records;
    std::vector<memory::DisplacedTrial> waiting;
    std::size_t next = 0;
    for (int step = 0; records.size() < trials.size(); ++step) {
        std::vector<const plan::Trial*> present;
        for (std::size_t i = next; i < trials.size() && start[i] <= step; ++i) present.push_back(&trials[i]);
        engine.expect(present);
        while (next < trials.size() && start[next] <= step && engine.has_room(trials[next])) {
            engine.enter(trials[next++]);
        }
        for (auto& record : engine.step()) records.emplace(record.trial_id, std::move(record));
        for (auto& displaced : engine.take_displaced()) waiting.push_back(std::move(displaced));
        while (!waiting.empty() && engine.has_room(waiting.back().trial)) {
            engine.enter(std::move(waiting.back().trial), std::move(waiting.back().state));
            waiting.pop_back();
        }
    }
    return records;
}

/// Two records of one trial are equal to the last bit in all but times.
inline void expect_same(record::TrialRecord a, record::TrialRecord b) {
    for (std::size_t i = 0; i < std::min(a.curve.loss_nats.size(), b.curve.loss_nats.size()); ++i)
        ASSERT_EQ(a.curve.loss_nats[i], b.curve.loss_nats[i]) << "evaluation " << i + 1;
    EXPECT_EQ(a.loss_nomem_nats, b.loss_nomem_nats);
    EXPECT_EQ(a.vector, b.vector);
    a.elapsed_s = b.elapsed_s = 0.0;
    EXPECT_EQ(record::encode(a), record::encode(b));
}

/// What a record with a whole curve says of its trial's end must follow from the curve and the protocol, and
/// its vector must be the one that was evaluated at the best evaluation.
inline void expect_consistent(const models::CausalLM& model, const plan::Trial& trial,
                              const record::TrialRecord& record) {
    const Protocol& protocol = trial.protocol;
    const auto& curve = record.curve;
    ASSERT_EQ(record.status, record::TrialStatus::done) << record.failure.message;
    ASSERT_EQ(curve.evaluation.size(), static_cast<std::size_t>(record.evaluations));
    std::int32_t best = 0;
    auto expected = record::StopReason::none;
    for (std::int32_t i = 0; i < record.evaluations; ++i) {
        const auto at = static_cast<std::size_t>(i);
        ASSERT_EQ(curve.evaluation[at], i + 1);
        ASSERT_EQ(expected, record::StopReason::none) << "evaluation " << i + 1 << " comes after the end";
        if (curve.accuracy[at] > curve.accuracy[static_cast<std::size_t>(best)]) best = i;
        if (curve.accuracy[at] >= static_cast<float>(protocol.stop_accuracy)) {
            expected = record::StopReason::solved;
        } else if (i - best >= protocol.patience) {
            expected = record::StopReason::patience;
        } else if (i + 1 == protocol.max_steps) {
            expected = record::StopReason::max_steps;
        }
    }
    EXPECT_EQ(record.stop_reason, expected);
    EXPECT_EQ(record.best_evaluation, best + 1);
    EXPECT_FLOAT_EQ(static_cast<float>(record.loss_nats), curve.loss_nats[static_cast<std::size_t>(best)]);
    EXPECT_FLOAT_EQ(static_cast<float>(record.accuracy), curve.accuracy[static_cast<std::size_t>(best)]);
    EXPECT_FLOAT_EQ(static_cast<float>(record.loss_min_nats), *std::ranges::min_element(curve.loss_nats));
    const auto now = memory::evaluate(model, memory::objective_of(trial), record.vector);
    // The same losses, added up in another order, in double.
    EXPECT_DOUBLE_EQ(now.loss_nats, record.loss_nats);
    EXPECT_EQ(now.correct_tokens, record.correct_tokens);
}

}  // namespace memcap::test
