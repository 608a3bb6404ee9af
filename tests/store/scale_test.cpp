// A run of 100,000 trials: what appending, a snapshot and a resume cost.
#include <gtest/gtest.h>

#include "memcap/store/result_file.hpp"
#include "memcap/store/run_store.hpp"
#include "store/export_all.hpp"
#include "store/sample_run.hpp"
#include "support/process_use.hpp"

namespace memcap::store {
namespace {

using test::peak_memory_mib;
using test::processor_s;
using testing::sample_record;
using testing::snapshot;
using testing::TemporaryFolder;

record::RunTables large_tables(std::int32_t rows) {
    auto tables = testing::sample_tables({"ink-64"});
    const auto pattern = tables.rows;
    tables.rows.clear();
    for (std::int32_t number = 0; number < rows; ++number) {
        auto row = pattern[static_cast<std::size_t>(number) % pattern.size()];
        row.axes.seed = static_cast<std::uint64_t>(number);
        row.trial_id = testing::trial_of(row.axes);
        tables.rows.push_back(std::move(row));
    }
    return tables;
}

TEST(Scale, AHundredThousandTrialsAppendSnapshotAndResumeInSeconds) {
    const TemporaryFolder place;
    const auto tables = large_tables(100'000);
    double append_s = 0.0;
    double snapshot_s = 0.0;
    double second_snapshot_s = 0.0;
    {
        auto store = RunStore::open(place / "run", {});
        store.tokens().save(testing::id_of("tokens"), testing::sample_tokens());
        store.begin_launch(tables);
        double start_s = processor_s();
        for (std::size_t row = 0; row < tables.rows.size(); ++row) {
            store.append(sample_record(tables.rows[row]));
            if (row % 1000 == 999) store.sync();
        }
        append_s = processor_s() - start_s;
        start_s = processor_s();
        snapshot(store);
        snapshot_s = processor_s() - start_s;
        start_s = processor_s();
        snapshot(store);
        second_snapshot_s = processor_s() - start_s;
    }
    double start_s = processor_s();
    const auto store = RunStore::open(place / "run", {});
    const double resume_s = processor_s() - start_s;
    EXPECT_TRUE(store.known(tables.rows.back().trial_id));
    start_s = processor_s();
    const auto file = ResultFile::open(place / "run");
    const double read_s = processor_s() - start_s;
    ASSERT_EQ(file.rows(), tables.rows.size());
    EXPECT_EQ(file.read(99'999).record.vector, sample_record(tables.rows.back()).vector);
    std::printf(
        "100,000 trials, processor time: append %.1f us each, first snapshot %.2f s, second %.2f s, resume "
        "%.2f s, read %.2f "
        "s, "
        "results.h5 %.1f MB, peak memory %.0f MiB\n",
        append_s * 10.0, snapshot_s, second_snapshot_s, resume_s, read_s,
        static_cast<double>(std::filesystem::file_size(place / "run/results.h5")) / 1e6, peak_memory_mib());
    // Generous bounds: they catch what grows faster than the rows.
    EXPECT_LT(append_s, 20.0);
    EXPECT_LT(second_snapshot_s, 10.0);
    EXPECT_LT(resume_s, 10.0);
}

}  // namespace
}  // namespace memcap::store
