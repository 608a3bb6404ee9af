// What a journal says of one trial, launch by launch.
#include "memcap/store/journal/trial_history.hpp"

#include <gtest/gtest.h>

#include "memcap/base/errors.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using testing::sample_launch;
using testing::sample_record;
using testing::TemporaryFolder;

class History : public ::testing::Test {
  protected:
    JournalWriter open() const { return JournalWriter::create(folder, testing::id_of("run"), {}); }
    AttemptsPayload payload(AttemptEvent event, const std::string& utc, std::int32_t number = 1,
                            const std::string& reason = {}) const {
        return {.event = event,
                .utc = utc,
                .rank = 3,
                .host = "n2",
                .device = "cpu",
                .reason = reason,
                .attempts = {{other, 7}, {trial, number}}};
    }

    TemporaryFolder place;
    RunFolder folder{place / "run"};
    record::RunTables tables = testing::sample_tables();
    Id128 trial = tables.rows[0].trial_id;
    Id128 other = tables.rows[20].trial_id;
};

TEST_F(History, AttemptsComeBackAsTheyWereWritten) {
    const auto written = payload(AttemptEvent::lost, "2026-03-01T12:00:01Z", 2, "silent for 60 s");
    const auto read = decode_attempts(encode(written));
    EXPECT_EQ(read.event, written.event);
    EXPECT_EQ(read.utc, written.utc);
    EXPECT_EQ(read.rank, 3);
    EXPECT_EQ(read.host, "n2");
    EXPECT_EQ(read.device, "cpu");
    EXPECT_EQ(read.reason, written.reason);
    ASSERT_EQ(read.attempts.size(), 2U);
    EXPECT_EQ(read.attempts[1].trial, trial);
    EXPECT_EQ(read.attempts[1].number, 2);
}

TEST_F(History, CutOrUnknownAttemptsAreAnError) {
    const Bytes whole = encode(payload(AttemptEvent::crashed, "now", 1, "signal 11"));
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_THROW(decode_attempts(std::span(whole).first(size)), TransportError) << size;
    Bytes unknown = whole;
    unknown[0] = std::byte{99};
    EXPECT_THROW(decode_attempts(unknown), TransportError);
}

TEST_F(History, EveryAttemptIsToldInOrderWithItsLaunch) {
    folder.create();
    {
        auto journal = open();
        tables.launches = {sample_launch("2026-03-01T12:00:00Z")};
        journal.append(tables);
        journal.append(tables);  // as a run writes it
        journal.append(payload(AttemptEvent::started, "2026-03-01T12:00:01Z"));
        journal.append(payload(AttemptEvent::crashed, "2026-03-01T12:00:02Z", 1, "signal 11"));
        journal.append_crash(trial, "signal 11");
        journal.sync();
    }
    auto journal = open();
    journal.append(sample_launch("2026-03-01T13:00:00Z"));
    journal.append(payload(AttemptEvent::resumed, "2026-03-01T13:00:01Z"));
    journal.append(sample_record(tables.rows[0], 2));
    journal.append(sample_record(tables.rows[20], 1));
    journal.append(sample_launch("2026-03-01T13:00:00Z"));
    journal.sync();
    const TrialHistory history = read_history(folder, trial);
    EXPECT_EQ(history.launches.size(), 2U);
    ASSERT_EQ(history.events.size(), 4U);
    EXPECT_EQ(history.events[0].event, AttemptEvent::started);
    EXPECT_EQ(history.events[0].launch, 1U);
    EXPECT_EQ(history.events[0].host, "n2");
    EXPECT_EQ(history.events[1].event, AttemptEvent::crashed);
    EXPECT_EQ(history.events[1].reason, "signal 11");
    EXPECT_EQ(history.events[2].event, AttemptEvent::resumed);
    EXPECT_EQ(history.events[2].launch, 2U);
    ASSERT_TRUE(history.events[3].result.has_value());
    EXPECT_EQ(history.events[3].attempt, 2);
    EXPECT_EQ(history.events[3].launch, 2U);
    // They decide nothing, and are no damage.
    const RunState state = replay(
        folder, [](const BulkPlace&) { return ArraysState::whole; }, TornTails::keep);
    EXPECT_EQ(state.report().unreadable_frames, 0U);
    EXPECT_EQ(state.crashes(trial), 1U);
}

TEST_F(History, JournalsOfOlderVersionsHaveCrashesAndResults) {
    folder.create();
    auto journal = open();
    tables.launches = {sample_launch()};
    journal.append(tables);
    journal.append_crash(trial, "signal 9");
    journal.append_crash(trial, "signal 9");
    journal.append(sample_record(tables.rows[0], 3));
    journal.sync();
    const TrialHistory history = read_history(folder, trial);
    ASSERT_EQ(history.events.size(), 3U);
    EXPECT_EQ(history.events[0].reason, "signal 9");
    EXPECT_EQ(history.events[1].event, AttemptEvent::crashed);
    EXPECT_TRUE(history.events[2].result.has_value());
}

}  // namespace
}  // namespace memcap::store
