// The index of a journal: whatever becomes of either, it says what the whole journal says, or nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <random>

#include "memcap/base/files.hpp"
#include "memcap/store/journal/index_file.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_status.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

namespace fs = std::filesystem;
using record::FailureCategory;
using testing::sample_failure;
using testing::sample_record;
using testing::sample_tables;
using testing::TemporaryFolder;

class Index : public ::testing::Test {
  protected:
    Index() { folder.create(); }

    RunState replayed() const { return replay(folder, bulk_files_check(folder), TornTails::keep); }
    std::optional<FoundIndex> found() const {
        return read_index(folder, bulk_files_check(folder, ArraysState::missing), TornTails::keep);
    }
    void write() const { write_index(folder, replayed(), {}); }
    /// A start of the run.
    JournalWriter start() const {
        const RunState state = replayed();
        std::uint32_t last_bulk = state.last_bulk();
        return JournalWriter::create(folder, state.run_id(),
                                     {.next_bulk = last_bulk + 1, .ends = state.segment_ends()});
    }
    /// Plan and ten results, a failure of either kind and a crash.
    JournalWriter begin() const {
        auto writer = start();
        writer.append(tables);
        for (std::size_t number = 0; number < 10; ++number) writer.append(sample_record(row(number)));
        writer.append(sample_failure(row(10)));
        writer.append(sample_failure(row(11), FailureCategory::retryable));
        writer.append_crash(row(12).trial_id, "killed by SIGSEGV");
        writer.sync();
        return writer;
    }
    const record::PlannedRow& row(std::size_t number) const { return tables.rows.at(number); }
    fs::path log(std::uint32_t number) const { return folder.log_segment(number); }
    void flip(const fs::path& path, std::uint64_t at) const {
        std::string content = read_text_file(path);
        content.at(at) ^= 1;
        std::ofstream(path, std::ios::binary) << content;
    }

    /// What is found is what all of the journal says; returns how many frames the file did not cover.
    std::uint64_t expect_truth() const {
        const auto index = found();
        EXPECT_TRUE(index.has_value());
        if (!index) return 0;
        expect_same(index->index, RunIndex(replayed()));
        return index->new_frames;
    }
    void expect_same(const RunIndex& index, const RunIndex& truth) const {
        EXPECT_EQ(index.plan().experiment, truth.plan().experiment);
        EXPECT_EQ(index.plan().hash, truth.plan().hash);
        EXPECT_EQ(index.plan().skipped, truth.plan().skipped);
        EXPECT_EQ(index.plan().launches, truth.plan().launches);
        EXPECT_EQ(index.plan().started_utc, truth.plan().started_utc);
        EXPECT_EQ(index.plan().ended_utc, truth.plan().ended_utc);
        EXPECT_EQ(index.last_bulk(), truth.last_bulk());
        EXPECT_EQ(index.damaged_bytes(), truth.damaged_bytes());
        EXPECT_EQ(index.trials().size(), truth.trials().size());
        if (!truth.view().segments.empty()) {
            EXPECT_EQ(index.run_id(), truth.run_id());
        }
        for (const IndexedTrial& expected : truth.trials()) {
            const IndexedTrial* trial = index.find(expected.trial);
            ASSERT_NE(trial, nullptr) << expected.trial.hex();
            EXPECT_EQ(trial->row, expected.row);
            EXPECT_EQ(trial->on_record, expected.on_record) << expected.trial.hex();
            EXPECT_EQ(trial->status, expected.status);
            EXPECT_EQ(trial->category, expected.category);
            EXPECT_EQ(trial->arrays, expected.arrays);
            EXPECT_EQ(trial->attempts, expected.attempts);
            EXPECT_EQ(trial->finished_s, expected.finished_s);
            EXPECT_EQ(index.crashes(trial->trial), truth.crashes(trial->trial));
            if (trial->failed()) {
                EXPECT_EQ(index.failure(trial->trial).message, truth.failure(trial->trial).message);
            }
        }
    }

    TemporaryFolder place;
    RunFolder folder = RunFolder(place / "run");
    record::RunTables tables = sample_tables();
};

TEST_F(Index, SaysWhatTheJournalSays) {
    EXPECT_EQ(expect_truth(), 0U) << "no journal";
    begin();
    EXPECT_EQ(expect_truth(), 14U) << "no index";
    write();
    EXPECT_EQ(expect_truth(), 0U);
    EXPECT_EQ(read_status(folder).done, 10U);
    EXPECT_EQ(read_status(folder).failures.size(), 2U);
    EXPECT_EQ(read_status(folder).failures[0].axes, row(10).axes);
}

TEST_F(Index, GoesOnWithWhatTheJournalHasGrownBy) {
    auto writer = begin();
    write();
    writer.append(sample_record(row(11), 2));
    writer.append(sample_failure(row(20)));
    writer.append_crash(row(12).trial_id, "killed by SIGSEGV");
    EXPECT_EQ(expect_truth(), 3U) << "in the same segment";
    EXPECT_EQ(read_status(folder).failures[0].trials,
              (std::vector<Id128>{row(10).trial_id, row(20).trial_id}));
    auto next = start();
    auto launch = testing::sample_launch("2026-03-01T12:04:30Z");
    next.append(launch);
    next.append(sample_record(row(12)));
    launch.ended_utc = "2026-03-01T12:10:00Z";
    next.append(launch);
    // The frame with the ends of segments before it is one, too.
    EXPECT_EQ(expect_truth(), 7U) << "in a new one";
    EXPECT_EQ(read_status(folder).done_in_launch, RunIndex(replayed()).plan().launches == 2 ? 12U : 0U);
    write();
    EXPECT_EQ(expect_truth(), 0U);
}

TEST_F(Index, GoesOnWithAnotherPlan) {
    begin();
    write();
    auto next = start();
    const auto other = sample_tables({"größe", "ink-64", "new"});
    next.append(other);
    next.append(other);
    next.append(sample_record(other.rows.back()));
    next.append(sample_failure(other.rows[100]));
    EXPECT_GT(expect_truth(), 0U);
    const RunStatus status = read_status(folder);
    EXPECT_EQ(status.planned, other.rows.size());
    EXPECT_EQ(status.done, 11U);
    ASSERT_FALSE(status.failures.empty());
    EXPECT_EQ(status.failures[0].axes, other.rows[58].axes) << "of a trial that failed before the plan came";
    EXPECT_TRUE(found()->index.plan().has_earlier_rows);
    RunState plans = read_plans(folder, found()->index);
    EXPECT_EQ(plans.tables().rows.size(), replayed().tables().rows.size());
    write();
    EXPECT_EQ(expect_truth(), 0U);
}

TEST_F(Index, IsUsedForFilesThatWereCopied) {
    begin();
    { start().append(sample_record(row(20))); }
    write();
    for (const std::uint32_t number : {1U, 2U})
        fs::last_write_time(log(number), fs::file_time_type::clock::now() + std::chrono::hours(5));
    EXPECT_EQ(expect_truth(), 0U);
    fs::copy(folder.root(), place / "copy", fs::copy_options::recursive);
    folder = RunFolder(place / "copy");
    EXPECT_EQ(expect_truth(), 0U);
}

TEST_F(Index, IsNotUsedIfItIsDamaged) {
    begin();
    write();
    const std::string content = read_text_file(folder.index_file());
    for (std::size_t at = 0; at < content.size(); at += 61) {
        SCOPED_TRACE(at);
        write_file_atomically(folder.index_file(), content.substr(0, at));
        EXPECT_EQ(expect_truth(), 14U) << "cut";
        std::string flipped = content;
        flipped[at] ^= 4;
        write_file_atomically(folder.index_file(), flipped);
        EXPECT_EQ(expect_truth(), 14U) << "flipped";
    }
    fs::remove(folder.index_file());
    fs::create_directory(folder.index_file());
    EXPECT_EQ(expect_truth(), 14U) << "a folder";
}

TEST_F(Index, LosesNoTrialAndInventsNoneWhereTheJournalHasChanged) {
    begin();
    { start().append(sample_record(row(20))); }
    { start().append(sample_record(row(21))); }
    const TemporaryFolder backup;
    fs::copy(folder.journal(), backup / "early", fs::copy_options::recursive);
    { start().append(sample_record(row(22))); }
    write();
    fs::copy(folder.journal(), backup / "late", fs::copy_options::recursive);
    const auto restore = [&] {
        fs::remove_all(folder.journal());
        fs::copy(backup / "late", folder.journal(), fs::copy_options::recursive);
        EXPECT_EQ(expect_truth(), 0U);
    };
    const std::uint64_t size = fs::file_size(log(1));
    for (std::uint64_t at = 0; at < size; at += 301) {
        SCOPED_TRACE(at);
        restore();
        flip(log(1), at);
        EXPECT_GT(expect_truth(), 0U) << "damaged in the indexed part";
        EXPECT_EQ(read_status(folder).damaged_bytes, replayed().report().damaged_bytes);
    }
    restore();
    flip(log(4), fs::file_size(log(4)) - 3);
    EXPECT_GT(expect_truth(), 0U) << "damaged in the last segment";
    for (const std::uint64_t less : {1U, 30U, 200U}) {
        restore();
        fs::resize_file(log(4), fs::file_size(log(4)) - less);
        EXPECT_GT(expect_truth(), 0U) << "the last segment is shorter by " << less;
        restore();
        fs::resize_file(log(2), fs::file_size(log(2)) - less);
        EXPECT_GT(expect_truth(), 0U) << "another segment is shorter by " << less;
    }
    for (const std::uint32_t number : {1U, 2U, 4U}) {
        restore();
        fs::remove(log(number));
        EXPECT_GT(expect_truth(), 0U) << "segment is gone: " << number;
    }
    restore();
    const auto replace = fs::copy_options::overwrite_existing;
    fs::copy_file(log(3), log(2), replace);
    EXPECT_FALSE(found()) << "a segment stands in the place of another, so results are there twice";
    restore();
    fs::remove(log(4));
    EXPECT_GT(expect_truth(), 0U) << "put back from a copy of before the last start";
    { start().append(sample_record(row(30))); }
    EXPECT_GT(expect_truth(), 0U) << "and gone on from there";
    restore();
    fs::copy_file(backup / "early/0001.log", folder.journal() / "0000.log");
    EXPECT_FALSE(found()) << "a segment was put before the first";
}

TEST_F(Index, IsNotUsedForTheJournalOfAnotherRun) {
    begin();
    write();
    const RunFolder other(place / "other");
    other.create();
    fs::copy_file(folder.index_file(), other.index_file());
    folder = other;
    auto writer = start();
    writer.append(tables);
    EXPECT_EQ(expect_truth(), 1U);
    writer.append(sample_record(row(40)));
    EXPECT_EQ(expect_truth(), 2U);
    EXPECT_FALSE(found()->index.find(row(0).trial_id)->on_record);
}

TEST_F(Index, CoversWhatHadBeenSyncedAlone) {
    auto writer = begin();
    const JournalEnd end = writer.end();
    writer.append(sample_record(row(20)));
    const RunState state = replay(folder, bulk_files_check(folder), TornTails::keep, end);
    EXPECT_EQ(state.find(row(20).trial_id), nullptr);
    write_index(folder, state, {});
    EXPECT_EQ(expect_truth(), 1U);
    // A power cut takes back what was not synced.
    fs::resize_file(log(1), end.size_bytes);
    EXPECT_EQ(expect_truth(), 0U);
}

TEST_F(Index, CutsATornEndBehindWhatItCovers) {
    auto writer = begin();
    write();
    const std::uint64_t size = fs::file_size(log(1));
    writer.append(sample_record(row(20)));
    fs::resize_file(log(1), fs::file_size(log(1)) - 5);
    EXPECT_EQ(expect_truth(), 0U);
    const auto cut = read_index(folder, bulk_files_check(folder, ArraysState::missing), TornTails::cut);
    EXPECT_GT(cut->report.torn_bytes, 0U);
    EXPECT_EQ(fs::file_size(log(1)), size);
    EXPECT_EQ(cut->ends.at(1).size_bytes, size);
    EXPECT_FALSE(cut->ends.at(1).on_record);
}

TEST_F(Index, LooksAgainAtVectorsThatLayInBulkFiles) {
    begin();
    write();
    const auto bulk = folder.bulk_file(1);
    const std::string content = read_text_file(bulk);
    fs::resize_file(bulk, content.size() - 4);
    ASSERT_TRUE(found());
    EXPECT_FALSE(found()->index.find(row(9).trial_id)->final()) << "a power cut has taken its vector";
    EXPECT_TRUE(found()->index.find(row(8).trial_id)->final());
    EXPECT_EQ(found()->report.unacknowledged, 1U);
    expect_truth();
    fs::remove(bulk);
    EXPECT_FALSE(found()) << "only a vectors segment can tell";
    EXPECT_EQ(read_status(folder).done, 10U) << "status does not ask";
}

TEST_F(Index, DoesNotAnswerForVectorsThatHaveChanged) {
    begin();
    write_file_atomically(folder.vectors() / "0001.h5", "vectors");
    write();
    EXPECT_TRUE(found());
    write_file_atomically(folder.vectors() / "0002.h5", "more");
    EXPECT_FALSE(found());
    fs::remove(folder.vectors() / "0002.h5");
    EXPECT_TRUE(found());
    write_file_atomically(folder.vectors() / "0001.h5", "vector");
    EXPECT_FALSE(found());
    fs::remove(folder.vectors() / "0001.h5");
    EXPECT_FALSE(found());
    EXPECT_EQ(read_status(folder).done, 10U) << "status does not ask";
}

TEST_F(Index, DoesNotAnswerForASecondResultOfAFinishedTrial) {
    auto writer = begin();
    write();
    writer.append(sample_failure(row(0)));
    EXPECT_EQ(expect_truth(), 1U) << "a failure changes nothing";
    auto other = sample_record(row(0), 3);
    other.loss_nats += 1;
    writer.append(other);
    EXPECT_FALSE(found()) << "somebody has to compare the two";
    EXPECT_EQ(read_status(folder).done, 10U);
    write();
    EXPECT_EQ(expect_truth(), 0U);
}

TEST_F(Index, DoesNotAnswerForWhatALostWriterAppends) {
    auto sleeper = begin();
    write();
    { start().append(sample_record(row(20))); }
    EXPECT_GT(expect_truth(), 0U);
    sleeper.append(sample_record(row(30)));
    EXPECT_FALSE(found()) << "it stands behind the end of its segment";
    EXPECT_EQ(read_status(folder).done, 12U);
    write();
    EXPECT_EQ(expect_truth(), 0U);
    sleeper.append(sample_record(row(31)));
    EXPECT_FALSE(found());
    EXPECT_EQ(read_status(folder).done, 13U);
}

TEST_F(Index, SaysTheSameWheneverItIsWritten) {
    std::mt19937 random(7);
    for (int round = 0; round < 20; ++round) {
        const TemporaryFolder own;
        folder = RunFolder(own / "run");
        folder.create();
        std::optional<JournalWriter> writer;
        for (int step = 0; step < 60; ++step) {
            SCOPED_TRACE(::testing::Message() << "round " << round << ", step " << step);
            const auto& planned = row(random() % 40);
            const RunState state = replayed();
            const StoredRecord* known = state.find(planned.trial_id);
            if (!writer || random() % 12 == 0) {
                writer.emplace(start());
                if (random() % 2 == 0) writer->append(random() % 3 == 0 ? sample_tables({"ink-64"}) : tables);
                writer->append(testing::sample_launch());
            } else if (random() % 5 == 0) {
                writer->append_crash(planned.trial_id, "killed");
            } else if (known == nullptr || !known->final()) {
                writer->append(random() % 3 == 0 ? sample_failure(planned, FailureCategory::retryable)
                                                 : sample_record(planned));
            }
            if (random() % 6 == 0) writer->end_bulk_file();
            if (random() % 10 == 0) write();
            expect_truth();
            ASSERT_FALSE(HasFailure());
        }
    }
}

}  // namespace
}  // namespace memcap::store
