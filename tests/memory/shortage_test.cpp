// Where memory runs out: fewer trials side by side, and not one that is lost or changed.
#include <gtest/gtest.h>

#include <map>

#include "memcap/memory/slots.hpp"
#include "memcap/models/registry.hpp"
#include "memory/mixed_trials.hpp"
#include "memory/small_device.hpp"
#include "support/golden_case.hpp"
#include "support/limited_allocator.hpp"

namespace memcap::memory {
namespace {

using test::expect_consistent;
using test::expect_same;
using test::options;
using test::SmallDevice;

class Shortage : public ::testing::Test {
  protected:
    static plan::Trial trial(std::uint64_t index) {
        return test::mixed_trial(model_->description().vocabulary_size, index);
    }
    static record::TrialRecord alone(const plan::Trial& trial) { return test::alone(*model_, trial); }

    inline static const std::unique_ptr<models::CausalLM> model_ =
        models::load(test::source_folder() / "tests/golden/llama-plain/model", Precision::float32, at::kCPU);
};

TEST_F(Shortage, AShortageOfMemoryHalvesTheRowsAndChangesNoTrial) {
    for (const auto layout : {RowLayout::exact, RowLayout::fixed}) {
        const SmallDevice device(*model_, 30);
        std::vector<plan::Trial> trials;
        std::vector<int> start;
        for (std::uint64_t i = 0; i < 12; ++i) {
            auto each = trial(i / 3);  // three of each shape, so that buckets grow beyond the limit
            each.id = {5, i};
            each.seed = i;
            trials.push_back(std::move(each));
            start.push_back(static_cast<int>(i));  // enough for the shortage to come in the middle of some
        }
        const auto records = test::together(trials, options(12, layout), start, device);
        EXPECT_GT(device.largest_rows(), 30);
        for (const auto& each : trials) {
            SCOPED_TRACE(each.id.hex());
            const auto& record = records.at(each.id);
            expect_same(record, alone(each));
            expect_consistent(*model_, each, record);
        }
    }
}

TEST_F(Shortage, AShortageOfMemoryLeavesHalfOfTheRowsThatWereTried) {
    const SmallDevice device(*model_, 60);
    SlotsEngine engine(device, options(12));
    std::int64_t rows = 0;
    for (std::uint64_t i = 0; i < 8; ++i) {
        engine.enter(trial(i));
        rows += trial(i).positions();
    }
    ASSERT_GT(rows, 60);
    EXPECT_EQ(engine.reduced_budget(), 0);
    EXPECT_TRUE(engine.step().empty());
    EXPECT_EQ(engine.reduced_budget(), rows / 2);
    EXPECT_EQ(engine.running().size() + engine.take_displaced().size(), 8U);
}

// One bucket has made its last evaluation of a trial when another one finds no memory.
TEST_F(Shortage, ATrialThatEndsBeforeAShortageInItsRoundIsNotEvaluatedAgain) {
    auto ends = trial(1);
    ends.protocol.max_steps = 1;
    ends.protocol.stop_accuracy = 2.0;
    auto large = trial(2);
    large.text.resize(70, 1);
    const SmallDevice device(*model_, 40);
    SlotState state;
    state.memory = initial_memory(large, model_->description().memory_width, model_->embedding_std());
    state.first_moment.assign(state.memory.size(), 0.0F);
    state.second_moment.assign(state.memory.size(), 0.0F);
    SlotsEngine engine(device, options(4, RowLayout::fixed));
    engine.enter(ends);
    engine.enter(large, state);
    const auto ended = engine.step();
    ASSERT_GE(ended.size(), 1U);
    EXPECT_EQ(ended[0].trial_id, ends.id);
    EXPECT_EQ(ended[0].evaluations, 1);
    EXPECT_EQ(ended[0].stop_reason, record::StopReason::max_steps);
}

TEST_F(Shortage, AShortageAtAnyBlockWhileATrialEntersChangesNothing) {
    std::vector<plan::Trial> running{trial(1), trial(2)};
    for (auto& each : running) {
        each.protocol.max_steps = 300;  // longer than blocks are refused
        each.protocol.patience = 1000;
        each.protocol.stop_accuracy = 2.0;
    }
    auto late = trial(3);
    late.memory_vectors = 7;  // more than the others have: all that is there has to grow
    for (const auto layout : {RowLayout::exact, RowLayout::fixed}) {
        const SmallDevice counted(*model_, 100000);
        SlotsEngine engine(counted, options(8, layout));
        for (const auto& each : running) engine.enter(each);
        std::vector<record::TrialRecord> ended;
        std::int64_t refusals = 0;
        SlotsEngine elsewhere(*model_, options(1));
        elsewhere.enter(late);
        const SlotState beginning = elsewhere.export_state(late.id);
        for (bool entered = false; !entered;) {
            for (auto& record : engine.step()) ended.push_back(std::move(record));
            test::LimitedAllocator allocator;
            allocator.refuse(++refusals);
            try {
                engine.enter(late, beginning);
                entered = true;
            } catch (const std::exception& problem) {
                EXPECT_TRUE(is_out_of_memory(problem)) << problem.what();
            }
            allocator.refuse(0);
            EXPECT_EQ(engine.running().size() + ended.size(), entered ? 3U : 2U);
        }
        EXPECT_GT(refusals, 10);
        if (layout == RowLayout::exact) {
            // What did not enter left no rows behind.
            const std::int64_t before = counted.computed_rows();
            for (auto& record : engine.step()) ended.push_back(std::move(record));
            EXPECT_EQ(counted.computed_rows() - before,
                      running[0].positions() + running[1].positions() + late.positions());
        }
        while (ended.size() < 3) {
            for (auto& record : engine.step()) ended.push_back(std::move(record));
        }
        for (const auto& record : ended) {
            SCOPED_TRACE(record.trial_id.hex());
            const plan::Trial& each =
                record.trial_id == late.id ? late : running[record.trial_id == running[1].id];
            expect_same(record, alone(each));
            expect_consistent(*model_, each, record);
        }
    }
}

TEST_F(Shortage, ATrialThatFitsNotEvenAloneFailsRetryably) {
    const SmallDevice device(*model_, 3);
    auto each = trial(1);
    SlotsEngine engine(device, options(4));
    // Its evaluation without memory comes before it has a slot.
    EXPECT_THROW(engine.enter(each), c10::Error);
    SlotState state;
    state.memory = initial_memory(each, model_->description().memory_width, model_->embedding_std());
    state.first_moment.assign(state.memory.size(), 0.0F);
    state.second_moment.assign(state.memory.size(), 0.0F);
    engine.enter(each, state);
    const auto ended = engine.step();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].status, record::TrialStatus::failed);
    EXPECT_EQ(ended[0].failure.category, record::FailureCategory::retryable);
    EXPECT_NE(ended[0].failure.message.find("out of memory"), std::string::npos);
}

}  // namespace
}  // namespace memcap::memory
