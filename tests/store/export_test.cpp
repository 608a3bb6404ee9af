// What a run shows while it is being written, and what it keeps of trials that go on.
#include <gtest/gtest.h>

#include "memcap/store/result_file.hpp"
#include "memcap/store/run_store.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

namespace fs = std::filesystem;
using testing::sample_record;
using testing::segments_of;

class Export : public ::testing::Test {
  protected:
    RunStore open() const { return RunStore::open(root, {}); }
    /// A store that has begun its launch, with the token file in place.
    RunStore begin() const {
        auto store = open();
        store.tokens().save(testing::id_of("tokens"), testing::sample_tokens());
        store.begin_launch(tables);
        return store;
    }
    const record::PlannedRow& row(std::size_t number) const { return tables.rows.at(number); }

    testing::TemporaryFolder place;
    fs::path root = place / "run";
    record::RunTables tables = testing::sample_tables();
};

TEST_F(Export, AnExportShowsARunThatIsBeingWritten) {
    auto store = begin();
    for (std::size_t number = 0; number < 30; ++number) store.append(sample_record(row(number)));
    const std::uint32_t end = store.end_large_bulk_file();
    // The writer goes on beside the export.
    for (std::size_t number = 30; number < 40; ++number) store.append(sample_record(row(number)));
    store.sync();
    const SnapshotReport report = export_results(root, end);
    EXPECT_EQ(report.rows, 40U);
    EXPECT_EQ(report.rows_without_arrays, 0U);
    EXPECT_EQ(report.rows_with_young_arrays, 10U) << "vectors of a file that is written to";
    EXPECT_EQ(segments_of(root).size(), 1U);
    for (std::size_t number = 40; number < tables.rows.size(); ++number)
        store.append(sample_record(row(number)));
    const SnapshotReport last = store.snapshot();
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
        export_results(root, store.end_large_bulk_file());
    }
    EXPECT_LT(segments_of(root).size(), 25U);
    store.snapshot();
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
