// Rebuild and merge: one result file from journals, damaged ones, several of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/merge.hpp"
#include "memcap/store/rebuild.hpp"
#include "memcap/store/result_file.hpp"
#include "memcap/store/run_store.hpp"
#include "store/detail/array_library.hpp"
#include "store/export_all.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::sample_failure;
using testing::sample_record;
using testing::sample_tables;
using testing::segments_of;
using testing::snapshot;
using testing::TemporaryFolder;

class Folders : public ::testing::Test {
  protected:
    enum class End { shown, killed };

    /// A run of rows [first, last), which ends as said.
    void run(const std::string& name, std::size_t first, std::size_t last, End end = End::shown) const {
        auto store = RunStore::open(place / name, {});
        store.tokens().save(testing::id_of("tokens"), testing::sample_tokens());
        store.begin_launch(tables);
        for (std::size_t row = first; row < last; ++row) store.append(sample_record(tables.rows[row]));
        store.sync();
        if (end == End::shown) snapshot(store);
    }
    void flip(const fs::path& path, std::streamoff at) const {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(at);
        const int former = file.get();
        file.seekp(at);
        file.put(static_cast<char>(former ^ 4));
    }
    void expect_row(const ResultFile& file, std::size_t row, const record::PlannedRow& planned) const {
        const StoredTrial trial = file.read(row);
        EXPECT_EQ(trial.record.trial_id, planned.trial_id);
        EXPECT_EQ(trial.record.vector, sample_record(planned).vector);
        EXPECT_EQ(trial.record.curve.loss_nats, sample_record(planned).curve.loss_nats);
        EXPECT_EQ(trial.text, testing::expected_text(planned.axes));
    }

    TemporaryFolder place;
    record::RunTables tables = sample_tables();
};

TEST_F(Folders, RebuildGivesTheFileThatTheRunWrote) {
    run("a", 0, 20);
    const std::string original = read_text_file(place / "a/results.h5");
    fs::remove(place / "a/results.h5");
    const RebuildReport report = rebuild(place / "a", {});
    EXPECT_TRUE(read_text_file(place / "a/results.h5") == original);
    EXPECT_EQ(report.trials, 20U);
    EXPECT_EQ(report.written.rows, 20U);
    EXPECT_EQ(report.journal.frames, 22U);  // the plan stands there twice
    EXPECT_EQ(report.journal.damaged_bytes, 0U);
    EXPECT_EQ(report.trials_in_no_plan, 0U);
}

TEST_F(Folders, RebuildTakesVectorsFromBulkFilesOfAKilledRun) {
    run("a", 0, 20);
    run("a", 20, 40, End::killed);
    rebuild(place / "a", {});
    const auto file = ResultFile::open(place / "a");
    ASSERT_EQ(file.rows(), 40U);
    for (std::size_t row = 0; row < 40; ++row) expect_row(file, row, tables.rows[row]);
}

TEST_F(Folders, RebuildSaysWhatWasDamagedAndKeepsTheRest) {
    run("a", 0, 20);
    const auto journal = place / "a/journal/0001.log";
    flip(journal, static_cast<std::streamoff>(fs::file_size(journal)) - 300);
    const RebuildReport report = rebuild(place / "a", {});
    EXPECT_GT(report.journal.damaged_bytes, 0U);
    EXPECT_EQ(report.journal.frames, 21U);
    EXPECT_EQ(report.written.rows, 19U);
    EXPECT_THAT(report.journal.notes, Contains(HasSubstr("damaged bytes were skipped")));
}

TEST_F(Folders, ADamagedPlanIsReadFromItsCopy) {
    run("a", 0, 20);
    flip(place / "a/journal/0001.log", 500);
    const RebuildReport report = rebuild(place / "a", {});
    EXPECT_GT(report.journal.damaged_bytes, 10'000U);
    EXPECT_EQ(report.written.rows, 20U);
}

TEST_F(Folders, RebuildNoticesAFlippedBitInASegment) {
    run("a", 0, 20);
    // A segment's values lie plain in the file: find those of row 7 and change one.
    const auto segment = segments_of(place / "a").at(0);
    const std::string bytes = read_text_file(segment);
    const auto vector = sample_record(tables.rows[7]).vector;
    const std::string wanted(reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float));
    const auto at = bytes.find(wanted);
    ASSERT_NE(at, std::string::npos);
    flip(segment, static_cast<std::streamoff>(at) + 2);
    const RebuildReport report = rebuild(place / "a", {});
    EXPECT_EQ(report.journal.missing_arrays, 1U);
    EXPECT_EQ(report.written.rows, 20U);
    EXPECT_EQ(report.written.rows_without_arrays, 1U);
    const auto file = ResultFile::open(place / "a");
    EXPECT_FALSE(file.has_vector(7));
    EXPECT_EQ(file.numbers(7).loss_nats, sample_record(tables.rows[7]).loss_nats);
    expect_row(file, 8, tables.rows[8]);
}

TEST_F(Folders, RebuildReportsDuplicatesAndConflicts) {
    {
        auto store = RunStore::open(place / "a", {});
        store.begin_launch(tables);
        store.append(sample_record(tables.rows[0]));
        store.append(sample_record(tables.rows[0], 2));
        auto other = sample_record(tables.rows[0], 3);
        other.loss_nats = 77.0;
        store.append(other);
        store.sync();
    }
    const RebuildReport report = rebuild(place / "a", {});
    EXPECT_EQ(report.journal.duplicates, 2U);
    ASSERT_EQ(report.journal.conflicts.size(), 1U);
    EXPECT_THAT(report.journal.conflicts[0], HasSubstr("loss 77"));
    EXPECT_EQ(report.written.rows_without_tokens, 1U);
}

TEST_F(Folders, RebuildOfWhatIsNoRunIsAnErrorAndMakesNothing) {
    EXPECT_THROW(rebuild(place / "nothing", {}), DataError);
    EXPECT_FALSE(fs::exists(place / "nothing"));
}

TEST_F(Folders, MergeJoinsFoldersAndRefersToTheirSegments) {
    run("a", 0, 20);
    run("b", 10, 40);
    const MergeReport report = merge(place / "joint.h5", {place / "a", place / "b"}, MergeArrays::refer);
    EXPECT_EQ(report.written.rows, 40U);
    EXPECT_EQ(report.duplicates, 10U);
    EXPECT_TRUE(report.conflicts.empty());
    const auto file = ResultFile::open(place / "joint.h5");
    ASSERT_EQ(file.rows(), 40U);
    for (std::size_t row = 0; row < 40; ++row) expect_row(file, row, tables.rows[row]);
    EXPECT_EQ(file.tables().models.size(), 2U);
    EXPECT_EQ(file.tables().launches.size(), 2U);
    EXPECT_EQ(file.tables().experiment, "sample + sample");
}

TEST_F(Folders, ASelfContainedMergeNeedsNoFolder) {
    run("a", 0, 20);
    run("b", 10, 30, End::killed);
    const MergeReport report = merge(place / "joint.h5", {place / "a", place / "b"}, MergeArrays::copy);
    EXPECT_EQ(report.written.rows, 30U);
    EXPECT_EQ(report.written.rows_without_arrays, 0U);
    fs::remove_all(place / "a");
    fs::remove_all(place / "b");
    const auto file = ResultFile::open(place / "joint.h5");
    for (std::size_t row = 0; row < 30; ++row) expect_row(file, row, tables.rows[row]);
}

TEST_F(Folders, AMergeWithoutAFolderItRefersToSaysSo) {
    run("a", 0, 5);
    merge(place / "joint.h5", {place / "a"}, MergeArrays::refer);
    const std::string segment = segments_of(place / "a").at(0).filename().string();
    fs::remove_all(place / "a");
    const auto file = ResultFile::open(place / "joint.h5");
    EXPECT_EQ(file.numbers(0).loss_nats, sample_record(tables.rows[0]).loss_nats);
    try {
        file.read(0);
        FAIL() << "fill values passed for data";
    } catch (const DataError& error) {
        EXPECT_THAT(error.what(), HasSubstr("vectors/" + segment + ": missing)"));
    }
}

TEST_F(Folders, AResultFileNeverShowsVectorsOfAnotherRun) {
    run("a", 0, 5);
    run("b", 0, 5);  // equal experiment, other run
    fs::create_directories(place / "copy");
    fs::copy_file(place / "a/results.h5", place / "copy/results.h5");
    fs::copy(place / "b/vectors", place / "copy/vectors");
    EXPECT_THROW(ResultFile::open(place / "copy").read(0), DataError);
    fs::copy_file(place / "a/results.h5", place / "b/results.h5", fs::copy_options::overwrite_existing);
    EXPECT_THROW(ResultFile::open(place / "b").read(0), DataError);
}

TEST_F(Folders, AVariableThatSendsHdf5ElsewhereIsIgnored) {
    run("a", 0, 5);
    fs::rename(segments_of(place / "a").at(0), place / "a/vectors/0001.h5");
    rebuild(place / "a", {});
    const RunFolder elsewhere(place / "elsewhere");
    elsewhere.create();
    run("b", 7, 12);
    fs::copy_file(segments_of(place / "b").at(0), elsewhere.vectors() / "0001.h5");
    ::setenv("HDF5_VDS_PREFIX", elsewhere.root().c_str(), 1);
    const auto file = ResultFile::open(place / "a");
    for (std::size_t row = 0; row < 5; ++row) expect_row(file, row, tables.rows[row]);
    ::unsetenv("HDF5_VDS_PREFIX");
}

TEST_F(Folders, LinksLeadToTheVectors) {
    run("a", 0, 5);
    fs::create_directories(place / "deep/er");
    fs::create_directory_symlink("deep/er", place / "link");
    merge(place / "link/joint.h5", {place / "a"}, MergeArrays::refer);
    expect_row(ResultFile::open(place / "link/joint.h5"), 0, tables.rows[0]);
    expect_row(ResultFile::open(place / "deep/er/joint.h5"), 0, tables.rows[0]);
    fs::create_symlink("a/results.h5", place / "latest.h5");
    expect_row(ResultFile::open(place / "latest.h5"), 4, tables.rows[4]);
    // A run in a folder that is a link itself.
    fs::create_directory_symlink("../a", place / "deep/run");
    merge(place / "joint.h5", {place / "deep/run"}, MergeArrays::refer);
    expect_row(ResultFile::open(place / "joint.h5"), 0, tables.rows[0]);
}

TEST_F(Folders, ARunThatWasReachedByALinkNeedsItNoMore) {
    fs::create_directories(place / "deep/er");
    fs::create_directory_symlink("deep/er", place / "link");
    run("link/b", 0, 5);
    fs::remove(place / "link");
    expect_row(ResultFile::open(place / "deep/er/b"), 4, tables.rows[4]);
}

TEST_F(Folders, AReaderFollowsVectorsThatMoveToTheirSegment) {
    auto store = RunStore::open(place / "a", {});
    store.begin_launch(tables);
    for (std::size_t row = 0; row < 3; ++row) store.append(sample_record(tables.rows[row]));
    store.sync();
    const RunFolder folder(place / "a");
    auto library = detail::ArrayLibrary::open(folder);
    snapshot(store);
    const RunState state = replay(
        folder, [&library](const BulkPlace& bulk) { return library.check(bulk); }, TornTails::keep);
    for (std::size_t row = 0; row < 3; ++row) {
        const StoredRecord* stored = state.find(tables.rows[row].trial_id);
        ASSERT_NE(stored, nullptr);
        EXPECT_EQ(stored->arrays_state, ArraysState::whole);
        record::TrialRecord arrays;
        EXPECT_TRUE(library.read(stored->arrays, arrays));
        EXPECT_EQ(arrays.vector, sample_record(tables.rows[row]).vector);
    }
}

TEST_F(Folders, FillValuesAreNoVector) {
    run("a", 0, 5);
    run("b", 0, 2);
    const auto file = ResultFile::open(place / "a");
    const auto segment = segments_of(place / "a").at(0);
    EXPECT_EQ(file.segment_of(4), "vectors/" + segment.filename().string());
    const auto message = [&file] {
        try {
            file.read(4);
            return std::string("fill values passed for a vector");
        } catch (const DataError& error) {
            return std::string(error.what());
        }
    };
    // Fewer values than are referred to: HDF5 gives fill values and no error.
    fs::copy_file(segments_of(place / "b").at(0), segment, fs::copy_options::overwrite_existing);
    EXPECT_THAT(message(), HasSubstr("vectors/" + segment.filename().string() + " is damaged: "));
    EXPECT_THAT(message(), HasSubstr("memcap rebuild " + (place / "a").string()));
}

TEST_F(Folders, SegmentsThatCannotBeReadAreAllNamed) {
    run("a", 0, 5);
    run("b", 5, 9);
    merge(place / "joint.h5", {place / "a", place / "b"}, MergeArrays::refer);
    const auto gone = segments_of(place / "a").at(0);
    const auto cut = segments_of(place / "b").at(0);
    fs::remove(gone);
    fs::resize_file(cut, fs::file_size(cut) / 2);
    try {
        ResultFile::open(place / "joint.h5").read(0);
        FAIL() << "fill values passed for data";
    } catch (const DataError& error) {
        EXPECT_THAT(error.what(),
                    HasSubstr("2 files that hold vectors of it cannot be read (a/vectors/" +
                              gone.filename().string() + ": missing; b/vectors/" + cut.filename().string() +
                              ": HDF5 cannot open the file: truncated"));
        EXPECT_THAT(error.what(), HasSubstr("memcap merge OUT.h5 DIR... --self-contained"));
    }
    const auto report = merge(place / "copy.h5", {place / "a", place / "b"}, MergeArrays::copy);
    EXPECT_EQ(report.written.rows_without_arrays, 9U);
    EXPECT_EQ(report.written.lost_segments,
              (std::vector<std::string>{(place / "a/vectors/0001-*.h5").string(), cut.string()}));
    EXPECT_THAT(lost_text(report.written),
                HasSubstr(cut.string() + " are missing or damaged. Put back a copy"));
}

TEST_F(Folders, MergeReplacesNothingButAMergedFile) {
    run("a", 0, 2);
    const std::string own = read_text_file(place / "a/results.h5");
    EXPECT_THROW(merge(place / "a/results.h5", {place / "a"}, MergeArrays::copy), DataError);
    EXPECT_TRUE(read_text_file(place / "a/results.h5") == own);
    EXPECT_THROW(merge(place / "a", {place / "a"}, MergeArrays::copy), DataError);
    write_file_atomically(place / "first.yaml", "experiment: first");
    EXPECT_THROW(merge(place / "first.yaml", {place / "a"}, MergeArrays::copy), DataError);
    EXPECT_EQ(read_text_file(place / "first.yaml"), "experiment: first");
    merge(place / "joint.h5", {place / "a"}, MergeArrays::copy);
    EXPECT_EQ(merge(place / "joint.h5", {place / "a"}, MergeArrays::refer).written.rows, 2U);
}

TEST_F(Folders, AFileThatCannotBeMadeIsNotAFullDisk) {
    run("a", 0, 1);
    try {
        merge(place / "none/joint.h5", {place / "a"}, MergeArrays::copy);
        FAIL() << "there is no such folder";
    } catch (const StoreError& error) {
        EXPECT_THAT(error.what(), HasSubstr("the file cannot be made: No such file or directory"));
    }
}

TEST_F(Folders, ARunThatGoesOnCanBeMerged) {
    run("a", 0, 3);
    auto store = RunStore::open(place / "a", {});
    store.begin_launch(tables);
    for (std::size_t row = 3; row < 7; ++row) store.append(sample_record(tables.rows[row]));
    store.sync();
    const auto refer = merge(place / "refer.h5", {place / "a"}, MergeArrays::refer);
    EXPECT_EQ(refer.written.rows, 7U);
    EXPECT_EQ(refer.written.rows_with_young_arrays, 4U);
    EXPECT_EQ(refer.written.rows_without_arrays, 0U);
    EXPECT_EQ(merge(place / "copy.h5", {place / "a"}, MergeArrays::copy).written.rows_with_young_arrays, 0U);
    for (std::size_t row = 0; row < 7; ++row)
        expect_row(ResultFile::open(place / "copy.h5"), row, tables.rows[row]);
    EXPECT_EQ(ResultFile::open(place / "copy.h5").statistics().front().capacity_tokens, -1);
    // Who asks for results.h5 before there is one learns what works.
    fs::remove(place / "a/results.h5");
    try {
        ResultFile::open(place / "a");
        FAIL() << "there is no such file";
    } catch (const DataError& error) {
        EXPECT_THAT(error.what(), HasSubstr("memcap merge OUT.h5 DIR --self-contained"));
        EXPECT_THAT(error.what(), Not(HasSubstr("rebuild")));
    }
}

TEST_F(Folders, CurvesAloneNeedNoFolder) {
    run("a", 0, 20);
    merge(place / "joint.h5", {place / "a"}, MergeArrays::curves);
    fs::remove_all(place / "a");
    const auto file = ResultFile::open(place / "joint.h5");
    EXPECT_FALSE(file.has_vector(7));
    EXPECT_EQ(file.read(7).record.curve.loss_nats, sample_record(tables.rows[7]).curve.loss_nats);
}

TEST_F(Folders, MergeTellsRoundingFromConflict) {
    run("a", 0, 3);
    {
        auto store = RunStore::open(place / "b", {});
        store.begin_launch(tables);
        store.append(sample_record(tables.rows[0], 2));  // equal: another attempt is no difference
        auto near = sample_record(tables.rows[1]);
        near.loss_min_nats *= 1.0 + 2e-5;
        near.evaluations += 1;
        store.append(near);
        near = sample_record(tables.rows[2]);
        near.loss_nats *= 1.0 + 1e-5;
        store.append(near);
        store.sync();
    }
    const MergeReport report = merge(place / "joint.h5", {place / "a", place / "b"}, MergeArrays::copy);
    EXPECT_EQ(report.duplicates, 3U);
    EXPECT_EQ(report.near, 2U);
    EXPECT_THAT(report.largest_near,
                HasSubstr("2.0e-05 of loss_min_nats in trial " + tables.rows[1].trial_id.hex()));
    EXPECT_TRUE(report.conflicts.empty());
}

TEST_F(Folders, MergeReportsConflictsAndTheFirstFolderWins) {
    run("a", 0, 2);
    {
        auto store = RunStore::open(place / "b", {});
        store.begin_launch(tables);
        auto other = sample_record(tables.rows[0]);
        other.loss_nats = 77.0;
        store.append(other);
        store.sync();
    }
    const MergeReport report = merge(place / "joint.h5", {place / "a", place / "b"}, MergeArrays::copy);
    ASSERT_EQ(report.conflicts.size(), 1U);
    EXPECT_THAT(report.conflicts[0], HasSubstr(tables.rows[0].trial_id.hex()));
    EXPECT_EQ(ResultFile::open(place / "joint.h5").numbers(0).loss_nats,
              sample_record(tables.rows[0]).loss_nats);
}

TEST_F(Folders, MergeTakesASuccessOverAFailureOfAnEarlierFolder) {
    {
        auto store = RunStore::open(place / "a", {});
        store.begin_launch(tables);
        store.append(sample_failure(tables.rows[0]));
        store.sync();
    }
    run("b", 0, 1);
    merge(place / "joint.h5", {place / "a", place / "b"}, MergeArrays::copy);
    const auto file = ResultFile::open(place / "joint.h5");
    ASSERT_EQ(file.rows(), 1U);
    EXPECT_EQ(file.numbers(0).status, record::TrialStatus::done);
}

TEST_F(Folders, ANameThatMeansTwoThingsIsToldApart) {
    run("a", 0, 2);
    tables.experiment = "second";
    tables.models.front().weights_sha256 = std::string(64, '0');
    for (auto& row : tables.rows) row.trial_id.high ^= 1;
    run("b", 0, 2);
    const MergeReport report = merge(place / "joint.h5", {place / "a", place / "b"}, MergeArrays::copy);
    const auto file = ResultFile::open(place / "joint.h5");
    ASSERT_EQ(file.rows(), 4U);
    EXPECT_EQ(file.axes(0).model, "ink-64");
    EXPECT_EQ(file.axes(2).model, "ink-64 (second)");
    EXPECT_EQ(file.tables().models.size(), 3U);
    EXPECT_EQ(file.statistics().front().trials, 1);
    EXPECT_THAT(report.notes, Contains(HasSubstr("'ink-64 (second)'")));
}

TEST_F(Folders, MergeWritesNothingIntoTheFolders) {
    run("a", 0, 3, End::killed);
    std::map<std::string, fs::file_time_type> before;
    for (const auto& entry : fs::recursive_directory_iterator(place / "a")) {
        before[entry.path().string()] = entry.last_write_time();
    }
    const MergeReport report = merge(place / "joint.h5", {place / "a"}, MergeArrays::refer);
    EXPECT_EQ(report.written.rows_with_young_arrays, 3U);
    EXPECT_TRUE(report.notes.empty());
    for (const auto& entry : fs::recursive_directory_iterator(place / "a")) {
        EXPECT_EQ(before.at(entry.path().string()), entry.last_write_time()) << entry.path();
    }
}

TEST_F(Folders, AResultFileCutAnywhereIsAnErrorAndNoCrash) {
    run("a", 0, 3);
    const auto path = place / "a/results.h5";
    const auto size = fs::file_size(path);
    for (std::uintmax_t keep = 0; keep < size; keep += size / 23) {
        fs::copy_file(path, place / "cut.h5", fs::copy_options::overwrite_existing);
        fs::resize_file(place / "cut.h5", keep);
        EXPECT_THROW(ResultFile::open(place / "cut.h5"), DataError) << keep;
    }
    EXPECT_THROW(ResultFile::open(place / "nothing.h5"), DataError);
    EXPECT_THROW(ResultFile::open(place / "a/experiment.yaml"), DataError);
}

}  // namespace
}  // namespace memcap::store
