// What a run shows while it is being written, and what it keeps of trials that go on.
#include <gtest/gtest.h>

#include "memcap/store/result_file.hpp"
#include "memcap/store/run_store.hpp"
#include "store/run_fixture.hpp"

namespace memcap::store {
namespace {

namespace fs = std::filesystem;
using testing::sample_record;
using testing::segments_of;
using testing::snapshot;

class Export : public testing::RunFixture {};

TEST_F(Export, AnExportShowsARunThatIsBeingWritten) {
    auto store = begin();
    for (std::size_t number = 0; number < 30; ++number) store.append(sample_record(row(number)));
    const ExportPoint point = store.next_export();
    // The writer goes on beside the export, which shows what had been synced when it was asked for.
    for (std::size_t number = 30; number < 40; ++number) store.append(sample_record(row(number)));
    EXPECT_EQ(export_results(root, point).rows, 30U);
    store.sync();
    const SnapshotReport report = export_results(root, {.journal = {}, .bulk_end = point.bulk_end});
    EXPECT_EQ(report.rows, 40U);
    EXPECT_EQ(report.rows_without_arrays, 0U);
    EXPECT_EQ(report.rows_with_young_arrays, 10U) << "vectors of a file that is written to";
    EXPECT_EQ(segments_of(root).size(), 1U);
    for (std::size_t number = 40; number < tables.rows.size(); ++number)
        store.append(sample_record(row(number)));
    const SnapshotReport last = snapshot(store);
    EXPECT_EQ(last.rows_without_arrays, 0U);
    EXPECT_EQ(last.rows_with_young_arrays, 0U);
    const auto file = ResultFile::open(root);
    ASSERT_EQ(file.rows(), tables.rows.size());
    for (std::size_t number = 0; number < file.rows(); ++number)
        EXPECT_EQ(file.read(number).record.vector, sample_record(row(number)).vector);
}

TEST_F(Export, FilesOfVectorsAreFewHoweverOftenARunIsShown) {
    auto store = begin();
    // The first is ended at once, the next ones only as the launch grows older by a quarter.
    for (std::size_t number = 0; number < 30; ++number) {
        store.append(sample_record(row(number)));
        export_results(root, store.next_export());
    }
    EXPECT_LT(segments_of(root).size(), 25U);
    snapshot(store);
    EXPECT_EQ(ResultFile::open(root).rows(), 30U);
}

TEST_F(Export, CrashesOfATrialAreCountedOverAllLaunches) {
    {
        auto store = begin();
        EXPECT_EQ(store.crashes(row(3).trial_id), 0U);
        store.crashed(row(3).trial_id, "killed by SIGSEGV");
        store.crashed(row(3).trial_id, "killed by SIGSEGV");
        store.sync();
        EXPECT_EQ(store.crashes(row(3).trial_id), 2U);
    }
    auto store = open();
    store.crashed(row(3).trial_id, "killed by SIGKILL");
    EXPECT_EQ(store.crashes(row(3).trial_id), 3U);
    EXPECT_EQ(store.crashes(row(4).trial_id), 0U);
    EXPECT_EQ(store.report().unreadable_frames, 0U);
}

TEST_F(Export, ACheckpointLivesUntilTheResultOfItsTrial) {
    const Bytes state(100, std::byte{7});
    {
        auto store = begin();
        store.checkpoint(row(0).trial_id, state);
        store.checkpoint(row(1).trial_id, state);
        store.append(sample_record(row(1)));
        store.sync();
        EXPECT_FALSE(store.checkpoint_of(row(1).trial_id).has_value());
    }
    auto store = open();
    EXPECT_EQ(store.checkpoint_of(row(0).trial_id), state);
    EXPECT_FALSE(store.checkpoint_of(row(1).trial_id).has_value()) << "its trial has ended";
    store.append(sample_record(row(0)));
    store.close();
    EXPECT_TRUE(fs::is_empty(root / "checkpoints"));
}

}  // namespace
}  // namespace memcap::store
