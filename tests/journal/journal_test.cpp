// The journal in its folder: segments, torn tails, full disks, duplicates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/run_status.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using record::FailureCategory;
using record::TrialStatus;
using ::testing::HasSubstr;
using testing::sample_failure;
using testing::sample_record;
using testing::sample_tables;
using testing::TemporaryFolder;

class Journal : public ::testing::Test {
  protected:
    Journal() { folder.create(); }
    RunState read(TornTails tails = TornTails::keep) const {
        return replay(folder, bulk_files_check(folder), tails);
    }
    JournalWriter write(std::uint32_t next_bulk = 1) const {
        return JournalWriter::create(folder, {1, 2}, {.next_bulk = next_bulk});
    }

    TemporaryFolder place;
    RunFolder folder{place / "run"};
    record::RunTables tables = sample_tables();
};

/// A limit on the size of files, which makes writes fail as a full disk does.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &former_);
        rlimit limit = former_;
        limit.rlim_cur = bytes;
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &former_);
        std::signal(SIGXFSZ, handler_);
    }

  private:
    rlimit former_{};
    void (*handler_)(int) = nullptr;
};

TEST_F(Journal, RecordsOfSeveralStartsAddUp) {
    {
        auto writer = write();
        writer.append(tables);
        writer.append(sample_record(tables.rows[0]));
        writer.sync();
    }
    {
        auto writer = write(2);
        writer.append(sample_record(tables.rows[1]));
        writer.sync();
        EXPECT_EQ(writer.segment(), 2U);
    }
    const RunState state = read();
    EXPECT_EQ(state.run_id(), (Id128{1, 2}));
    EXPECT_EQ(state.report().segments, 2U);
    EXPECT_EQ(state.records().size(), 2U);
    ASSERT_EQ(state.rows().size(), 2U);
    EXPECT_EQ(state.rows()[0].stored->record.loss_nats, sample_record(tables.rows[0]).loss_nats);
    EXPECT_EQ(state.rows()[1].stored->arrays.number, 2U);
    EXPECT_EQ(state.last_bulk(), 2U);
}

TEST_F(Journal, ATornTailIsCutAndTheNextSegmentGoesOn) {
    std::filesystem::path segment;
    {
        auto writer = write();
        writer.append(sample_record(tables.rows[0]));
        writer.append(sample_record(tables.rows[1]));
        writer.sync();
        segment = writer.path();
    }
    std::filesystem::resize_file(segment, std::filesystem::file_size(segment) - 5);
    const RunState state = read(TornTails::cut);
    EXPECT_EQ(state.records().size(), 1U);
    EXPECT_GT(state.report().torn_bytes, 0U);
    EXPECT_EQ(state.report().damaged_bytes, 0U);
    EXPECT_THAT(state.report().notes.at(0), HasSubstr("were not written to their end"));
    const RunState again = read(TornTails::cut);
    EXPECT_EQ(again.report().torn_bytes, 0U);
    EXPECT_EQ(again.records().size(), 1U);
}

TEST_F(Journal, AStartThatDiedBeforeItsFirstByteLeavesNoTrace) {
    { std::ofstream file(folder.log_segment(1)); }
    EXPECT_TRUE(read(TornTails::cut).records().empty());
    EXPECT_FALSE(std::filesystem::exists(folder.log_segment(1)));
    { std::ofstream(folder.log_segment(1)) << "half a hea"; }
    {
        auto writer = write();
        writer.append(sample_record(tables.rows[0]));
    }
    const RunState state = read();
    EXPECT_EQ(state.run_id(), (Id128{1, 2}));
    EXPECT_EQ(state.records().size(), 1U);
}

TEST_F(Journal, ASegmentOfAnotherRunCountsAndIsNamed) {
    {
        auto writer = write();
        writer.append(sample_record(tables.rows[0]));
    }
    {
        auto writer = JournalWriter::create(folder, {9, 9}, {.next_bulk = 2});
        writer.append(sample_record(tables.rows[1]));
    }
    const RunState state = read();
    EXPECT_EQ(state.records().size(), 2U);
    EXPECT_THAT(state.report().notes,
                ::testing::Contains(HasSubstr("0002.log: was copied from another run")));
}

TEST_F(Journal, ReadingWithoutTheLockLeavesATornTailAlone) {
    {
        auto writer = write();
        writer.append(sample_record(tables.rows[0]));
    }
    const auto segment = folder.log_segment(1);
    std::filesystem::resize_file(segment, std::filesystem::file_size(segment) - 1);
    const auto size = std::filesystem::file_size(segment);
    EXPECT_TRUE(read().records().empty());
    EXPECT_EQ(std::filesystem::file_size(segment), size);
}

TEST_F(Journal, AResultWhoseVectorDidNotReachTheDiskRunsAgain) {
    {
        auto writer = write();
        writer.append(sample_record(tables.rows[0]));
        writer.append(sample_record(tables.rows[1]));
        writer.sync();
    }
    const auto bulk = folder.bulk_file(1);
    std::filesystem::resize_file(bulk, std::filesystem::file_size(bulk) - 1);
    const RunState state = read();
    EXPECT_TRUE(state.find(tables.rows[0].trial_id)->final());
    EXPECT_FALSE(state.find(tables.rows[1].trial_id)->final());
    EXPECT_EQ(state.report().unacknowledged, 1U);
}

TEST_F(Journal, AFlippedBitInAVectorIsNoticed) {
    {
        auto writer = write();
        writer.append(sample_record(tables.rows[0]));
        writer.append(sample_record(tables.rows[1]));
        writer.sync();
    }
    {
        std::fstream file(folder.bulk_file(1), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(3);
        file.put('\x55');
    }
    const RunState state = read();
    EXPECT_FALSE(state.find(tables.rows[0].trial_id)->final());
    EXPECT_TRUE(state.find(tables.rows[1].trial_id)->final());
}

TEST_F(Journal, AFullDiskFailsTheAppendAndKeepsTheJournalWhole) {
    auto writer = write();
    writer.append(sample_record(tables.rows[0]));
    writer.sync();
    const auto size = std::filesystem::file_size(writer.path());
    {
        const FileSizeLimit limit(size + 20);  // not enough for a frame, so a part of one is written
        EXPECT_THROW(writer.append(sample_record(tables.rows[1])), StoreError);
    }
    EXPECT_EQ(std::filesystem::file_size(writer.path()), size);
    EXPECT_EQ(read().records().size(), 1U);
    writer.append(sample_record(tables.rows[2]));
    writer.sync();
    const RunState state = read();
    EXPECT_EQ(state.records().size(), 2U);
    EXPECT_EQ(state.report().damaged_bytes + state.report().torn_bytes, 0U);
    EXPECT_TRUE(state.find(tables.rows[2].trial_id)->final());
}

TEST_F(Journal, AFullDiskErrorSaysWhatToDo) {
    auto writer = write();
    const FileSizeLimit limit(100);
    try {
        writer.append(sample_record(tables.rows[0]));
        FAIL() << "nothing was thrown";
    } catch (const StoreError& error) {
        EXPECT_THAT(error.what(), HasSubstr("cannot record a result"));
        EXPECT_THAT(error.what(), HasSubstr("Free space"));
        EXPECT_THAT(error.what(), HasSubstr("journal"));
    }
}

TEST_F(Journal, AFrameOfAnUnknownKindIsCountedAndSkipped) {
    {
        auto writer = write();
        writer.append(sample_record(tables.rows[0]));
        writer.sync();
    }
    {
        const std::string text = "from the future";
        const Bytes frame =
            encode_frame({.type = static_cast<FrameType>(77), .sequence = 9, .payload = as_bytes(text)});
        std::ofstream file(folder.log_segment(1), std::ios::app | std::ios::binary);
        file.write(reinterpret_cast<const char*>(frame.data()), static_cast<std::streamsize>(frame.size()));
    }
    const RunState state = read();
    EXPECT_EQ(state.records().size(), 1U);
    EXPECT_EQ(state.report().unreadable_frames, 1U);
    EXPECT_EQ(state.report().damaged_bytes, 0U);
}

TEST_F(Journal, ANewerSchemaIsRefused) {
    const Bytes header = encode_header({.schema_version = 2, .number = 1, .run_id = {}});
    {
        std::ofstream file(folder.log_segment(1), std::ios::binary);
        file.write(reinterpret_cast<const char*>(header.data()), static_cast<std::streamsize>(header.size()));
    }
    EXPECT_THROW(read(), StoreError);
}

TEST_F(Journal, StatusCountsWhatTheLastPlanAsksFor) {
    auto writer = write();
    writer.append(tables);
    writer.append(sample_record(tables.rows[0]));
    writer.append(sample_record(tables.rows[1]));
    writer.append(sample_failure(tables.rows[2]));
    writer.append(sample_failure(tables.rows[3], FailureCategory::retryable));
    writer.append(sample_record(tables.rows[4]));
    // No sync, and the last frame torn: another process is in the middle of a write.
    std::filesystem::resize_file(writer.path(), std::filesystem::file_size(writer.path()) - 3);
    const RunStatus status = read_status(folder);
    EXPECT_EQ(status.experiment, "sample");
    EXPECT_EQ(status.planned, 96U);
    EXPECT_EQ(status.done, 2U);
    EXPECT_EQ(status.failed, 1U);
    EXPECT_EQ(status.retryable, 1U);
    EXPECT_EQ(status.open(), 93U);
    EXPECT_EQ(status.skipped, 1U);
    EXPECT_EQ(status.launches, 1U);
    EXPECT_EQ(status.done_in_launch, 4U);
    EXPECT_DOUBLE_EQ(status.elapsed_in_launch_s, 300.0);
    EXPECT_FALSE(status.owner);
}

TEST_F(Journal, StatusNamesFailedTrialsByKind) {
    auto writer = write();
    writer.append(tables);
    for (const std::size_t row : {2, 5, 7}) {
        auto failure = sample_failure(tables.rows[row]);
        failure.failure.message = "the loss is not finite (evaluation " + std::to_string(row) + ")";
        writer.append(failure);
    }
    writer.append(sample_failure(tables.rows[3], FailureCategory::retryable));
    writer.append(sample_failure(tables.rows[4]));
    writer.append(sample_record(tables.rows[4], 2));  // a later success: no failure any more
    const RunStatus status = read_status(folder);
    ASSERT_EQ(status.failures.size(), 2U);
    EXPECT_EQ(status.failures[0].reason, "permanent: the loss is not finite (evaluation 2)");
    EXPECT_EQ(status.failures[0].axes, tables.rows[2].axes);
    EXPECT_EQ(status.failures[0].trials, (std::vector<Id128>{tables.rows[2].trial_id, tables.rows[5].trial_id,
                                                             tables.rows[7].trial_id}));
    EXPECT_EQ(status.failures[1].trials, std::vector<Id128>{tables.rows[3].trial_id});
}

TEST_F(Journal, ARunHasARateFromItsFirstResultOn) {
    auto writer = write();
    tables.launches.back().started_utc = "2026-11-23T10:00:00Z";
    writer.append(tables);
    for (std::size_t row = 0; row < 3; ++row) {
        record::TrialRecord finished = sample_record(tables.rows[row]);
        finished.finished_utc = "2026-11-23T10:00:00Z";
        writer.append(finished);
    }
    // Times have whole seconds: three results within the first one are three a second, not an unknown rate.
    EXPECT_DOUBLE_EQ(read_status(folder).rate_per_s(), 3.0);
}

TEST_F(Journal, StatusOfAFolderWithoutARunIsAnError) {
    EXPECT_THROW(read_status(RunFolder(place / "nothing")), DataError);
}

TEST_F(Journal, TheLastWordOnALaunchCounts) {
    {
        auto writer = write();
        writer.append(tables);
        auto launch = tables.launches.front();
        launch.hosts = "n1,n2,n3";
        writer.append(launch);
        launch.ended_utc = "2026-03-01T14:00:00Z";
        writer.append(launch);
    }
    {
        auto writer = write();
        auto later = tables;
        later.launches.front().started_utc = "2026-03-02T00:00:00Z";
        writer.append(later);
    }
    const auto launches = read().tables().launches;
    ASSERT_EQ(launches.size(), 2U);
    EXPECT_EQ(launches[0].hosts, "n1,n2,n3");
    EXPECT_EQ(launches[0].ended_utc, "2026-03-01T14:00:00Z");
    EXPECT_EQ(launches[1].started_utc, "2026-03-02T00:00:00Z");
    EXPECT_EQ(launches[1].ended_utc, "");
}

}  // namespace
}  // namespace memcap::store
