// Which record of a trial stands, and which rows a changed experiment keeps.
#include "memcap/store/journal/run_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using record::FailureCategory;
using record::TrialStatus;
using testing::sample_failure;
using testing::sample_record;
using testing::sample_tables;

class State : public ::testing::Test {
  protected:
    const StoredRecord& only() const { return state.records().begin()->second; }
    void add(record::TrialRecord record, ArraysState arrays = ArraysState::whole) {
        state.add_result(std::move(record), {.number = 1, .offset_bytes = 0, .vector_count = 6}, arrays);
    }

    record::RunTables tables = sample_tables();
    record::PlannedRow row = tables.rows[0];
    RunState state;
};

TEST_F(State, TheFirstFinishedRecordStays) {
    add(sample_record(row, 1));
    auto second = sample_record(row, 2);
    second.loss_nats += 1.0;
    add(second);
    EXPECT_EQ(only().record.attempt, 1);
    EXPECT_EQ(only().attempts, 2);
    EXPECT_EQ(state.report().duplicates, 1U);
    ASSERT_EQ(state.report().conflicts.size(), 1U);
    EXPECT_THAT(state.report().conflicts[0], ::testing::HasSubstr(row.trial_id.hex()));
}

TEST_F(State, AnEqualDuplicateIsNoConflict) {
    add(sample_record(row, 1));
    add(sample_record(row, 2));
    EXPECT_EQ(state.report().duplicates, 1U);
    EXPECT_TRUE(state.report().conflicts.empty());
}

TEST_F(State, DoneBeatsFailedInEitherOrder) {
    add(sample_failure(row));
    add(sample_record(row, 2));
    EXPECT_EQ(only().record.status, TrialStatus::done);
    add(sample_failure(row));
    EXPECT_EQ(only().record.status, TrialStatus::done);
    EXPECT_EQ(state.report().duplicates, 0U);
}

TEST_F(State, TheLatestFailureStands) {
    add(sample_failure(row, FailureCategory::retryable));
    add(sample_failure(row, FailureCategory::permanent));
    EXPECT_EQ(only().record.failure.category, FailureCategory::permanent);
}

TEST_F(State, ARecordWithoutItsVectorGivesWayToAWholeOne) {
    add(sample_record(row, 1), ArraysState::never_acknowledged);
    EXPECT_FALSE(only().final());
    add(sample_record(row, 2));
    EXPECT_TRUE(only().final());
    EXPECT_EQ(only().record.attempt, 2);
}

TEST_F(State, AVectorThatWasRemovedDoesNotUndoItsTrial) {
    add(sample_record(row, 1), ArraysState::missing);
    EXPECT_TRUE(only().final());
}

TEST_F(State, FinishedRowsOfADroppedModelStay) {
    state.add_tables(1, tables);
    add(sample_record(tables.rows.front()));
    add(sample_record(tables.rows.back()));
    state.add_tables(2, sample_tables({"ink-64"}));
    EXPECT_EQ(state.planned_rows(), 48U);
    ASSERT_EQ(state.rows().size(), 2U);
    EXPECT_EQ(state.rows()[1].planned->axes.model, "größe");
    EXPECT_EQ(state.tables().models.size(), 2U);
}

TEST_F(State, RowsWhoseProtocolNowMeansSomethingElseGo) {
    state.add_tables(1, tables);
    add(sample_record(tables.rows.front()));
    auto changed = sample_tables();
    changed.protocols.front().values.learning_rate = 0.3;
    for (auto& planned : changed.rows) planned.trial_id.high ^= 1;
    state.add_tables(2, changed);
    EXPECT_EQ(state.tables().rows.size(), changed.rows.size());
    EXPECT_TRUE(state.rows().empty());
    EXPECT_EQ(state.records().size(), 1U);
    EXPECT_EQ(state.dropped(), (std::map<std::string, std::uint64_t>{{"protocol 'paper' changed", 1}}));
    // What was before brings the row back.
    state.add_tables(3, tables);
    EXPECT_EQ(state.rows().size(), 1U);
    EXPECT_TRUE(state.dropped().empty());
}

TEST_F(State, EachReasonForDroppedRowsIsSaid) {
    state.add_tables(1, tables);
    for (const auto& planned : tables.rows) add(sample_record(planned));
    auto changed = sample_tables();
    changed.models.front().weights_sha256 = std::string(64, '0');
    for (auto& planned : changed.rows) {
        const bool other_tokens = planned.axes.model != "ink-64" && planned.axes.sample == 2;
        if (planned.axes.model == "ink-64" || other_tokens) planned.trial_id.high ^= 1;
    }
    state.add_tables(2, changed);
    EXPECT_EQ(state.dropped(),
              (std::map<std::string, std::uint64_t>{{"config.json or weights of model 'ink-64' changed", 48},
                                                    {"token ids of corpus 'essays' changed", 12}}));
    EXPECT_EQ(state.rows().size(), 36U);
}

TEST_F(State, ProgressCountsTheTrialsOfTheLastPlan) {
    tables.rows.push_back(tables.rows[0]);
    tables.rows.back().axes.protocol = "same";  // another row of a trial
    state.add_tables(1, tables);
    add(sample_record(tables.rows[0]));
    add(sample_record(tables.rows[1]), ArraysState::never_acknowledged);
    add(sample_failure(tables.rows[2]));
    add(sample_failure(tables.rows[3], FailureCategory::retryable));
    EXPECT_EQ(state.progress().planned, 96U);
    EXPECT_EQ(state.progress().done, 1U);
    EXPECT_EQ(state.progress().failed, 1U);
    EXPECT_EQ(state.progress().open(), 94U);
    EXPECT_EQ(state.open_rows().size(), 94U);
}

TEST_F(State, ADuplicateThatDiffersByRoundingIsCounted) {
    add(sample_record(row, 1));
    auto second = sample_record(row, 2);
    second.loss_nats *= 1.0 + 1e-6;
    add(second);
    EXPECT_EQ(state.report().near, 1U);
    EXPECT_NEAR(state.report().largest_near_difference, 1e-6, 1e-8);
    EXPECT_TRUE(state.report().conflicts.empty());
}

TEST_F(State, TheRunKeepsItsFirstDate) {
    state.add_tables(1, tables);
    auto later = tables;
    later.created_utc = "2027-01-01T00:00:00Z";
    state.add_tables(2, later);
    EXPECT_EQ(state.tables().created_utc, "2026-03-01T12:00:00Z");
    EXPECT_EQ(state.tables().launches.size(), 2U);
}

TEST_F(State, OverlappingSweepsShowATrialInEachOfItsRows) {
    auto twice = tables.rows[0];
    twice.axes.protocol = "same";
    tables.rows.push_back(twice);
    state.add_tables(1, tables);
    add(sample_record(row));
    EXPECT_EQ(state.rows().size(), 2U);
}

}  // namespace
}  // namespace memcap::store
