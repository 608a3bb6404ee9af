// The record of a run: resume, snapshots, and crashes at the worst moments.
#include "memcap/store/run_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/metrics/statistics.hpp"
#include "memcap/store/result_file.hpp"
#include "store/run_fixture.hpp"

namespace memcap::store {
namespace {

namespace fs = std::filesystem;
using record::FailureCategory;
using record::TrialStatus;
using testing::sample_failure;
using testing::sample_record;
using testing::segments_of;
using testing::snapshot;
using ::testing::StartsWith;

class Store : public testing::RunFixture {
  protected:
    /// Every row of results.h5 is what sample_record says; returns how many rows there are.
    std::size_t expect_whole_results() const {
        const auto file = ResultFile::open(root);
        for (std::size_t number = 0; number < file.rows(); ++number) expect_whole(file.read(number));
        return file.rows();
    }
    void expect_whole(const StoredTrial& trial) const {
        const auto planned = std::find_if(tables.rows.begin(), tables.rows.end(), [&](const auto& candidate) {
            return candidate.axes == trial.axes;
        });
        ASSERT_NE(planned, tables.rows.end());
        const auto expected = sample_record(*planned);
        EXPECT_EQ(trial.record.trial_id, planned->trial_id);
        EXPECT_EQ(trial.record.loss_nats, expected.loss_nats);
        EXPECT_EQ(trial.record.correct_tokens, expected.correct_tokens);
        EXPECT_EQ(trial.record.stop_reason, expected.stop_reason);
        EXPECT_EQ(trial.record.vector, expected.vector);
        EXPECT_EQ(trial.record.vector_width, testing::kWidth);
        EXPECT_EQ(trial.record.curve.evaluation, expected.curve.evaluation);
        EXPECT_EQ(trial.record.curve.loss_nats, expected.curve.loss_nats);
        EXPECT_EQ(trial.text, testing::expected_text(trial.axes));
        EXPECT_EQ(trial.prefix, testing::expected_prefix(trial.axes));
    }
};

TEST_F(Store, ANewFolderKnowsNothing) {
    const auto store = open();
    EXPECT_FALSE(store.known(row(0).trial_id));
    for (const char* name : {"journal", "vectors", "tokens", "checkpoints", "log"}) {
        EXPECT_TRUE(fs::is_directory(root / name)) << name;
    }
}

TEST_F(Store, AResumeKnowsWhatWasDoneAndWhatFailed) {
    {
        auto store = begin();
        store.append(sample_record(row(0)));
        store.append(sample_failure(row(1)));
        auto retryable = sample_failure(row(2), FailureCategory::retryable);
        retryable.attempt = 3;
        store.append(retryable);
        store.sync();
    }
    const auto store = open();
    ASSERT_TRUE(store.known(row(0).trial_id));
    EXPECT_EQ(store.known(row(0).trial_id)->status, TrialStatus::done);
    EXPECT_EQ(store.known(row(1).trial_id)->category, FailureCategory::permanent);
    EXPECT_EQ(store.known(row(2).trial_id)->category, FailureCategory::retryable);
    EXPECT_EQ(store.known(row(2).trial_id)->attempts, 3);
    EXPECT_FALSE(store.known(row(3).trial_id));
    EXPECT_EQ(read_text_file(root / "experiment.yaml"), tables.experiment_yaml);
}

TEST_F(Store, ASnapshotShowsEveryRecordWithItsVectorCurveAndTokens) {
    auto store = begin();
    for (std::size_t number = 0; number < 30; ++number) store.append(sample_record(row(number)));
    EXPECT_EQ(snapshot(store).rows, 30U);
    for (std::size_t number = 30; number < tables.rows.size(); ++number)
        store.append(sample_record(row(number)));
    const SnapshotReport report = snapshot(store);
    EXPECT_EQ(report.rows, 96U);
    EXPECT_EQ(report.rows_without_tokens, 0U);
    EXPECT_EQ(report.rows_without_arrays, 0U);
    EXPECT_EQ(expect_whole_results(), 96U);
    EXPECT_EQ(segments_of(root).size(), 2U);
    EXPECT_TRUE(numbered_files(root / "journal", ".bulk").empty());
}

TEST_F(Store, RowsStandInPlannedOrderWhateverTheOrderOfTheResults) {
    auto store = begin();
    for (std::size_t number = tables.rows.size(); number-- > 0;) store.append(sample_record(row(number)));
    snapshot(store);
    const auto file = ResultFile::open(root);
    ASSERT_EQ(file.rows(), tables.rows.size());
    for (std::size_t number = 0; number < file.rows(); ++number)
        EXPECT_EQ(file.axes(number), row(number).axes);
}

TEST_F(Store, ASnapshotOfNothingNewIsTheSameFile) {
    auto store = begin();
    for (std::size_t number = 0; number < 10; ++number) store.append(sample_record(row(number)));
    snapshot(store);
    const std::string first = read_text_file(root / "results.h5");
    snapshot(store);
    EXPECT_TRUE(read_text_file(root / "results.h5") == first);
    EXPECT_EQ(segments_of(root).size(), 1U);
}

TEST_F(Store, ASnapshotOfAnEmptyRunIsAReadableFile) {
    auto store = begin();
    EXPECT_EQ(snapshot(store).rows, 0U);
    const auto file = ResultFile::open(root);
    EXPECT_EQ(file.rows(), 0U);
    EXPECT_EQ(file.tables().experiment, "sample");
    EXPECT_EQ(file.tables().models.size(), 2U);
}

TEST_F(Store, AFailureHasItsRowWithoutNumbersAndVector) {
    auto store = begin();
    store.append(sample_failure(row(5)));
    snapshot(store);
    const auto file = ResultFile::open(root);
    ASSERT_EQ(file.rows(), 1U);
    EXPECT_FALSE(file.has_vector(0));
    const StoredTrial trial = file.read(0);
    EXPECT_EQ(trial.record.status, TrialStatus::failed);
    EXPECT_EQ(trial.record.failure.category, FailureCategory::permanent);
    EXPECT_EQ(trial.record.failure.message, sample_failure(row(5)).failure.message);
    EXPECT_TRUE(std::isnan(trial.record.loss_nats));
    EXPECT_EQ(trial.record.scored_tokens, row(5).scored_tokens);
    EXPECT_EQ(trial.text.size(), 32U);
    const auto& rows = file.statistics();
    EXPECT_EQ(std::count_if(rows.begin(), rows.end(), [](const auto& cell) { return cell.failed == 1; }), 1);
}

TEST_F(Store, ALaterSuccessReplacesAFailureAndARepeatedSuccessDoesNot) {
    auto store = begin();
    store.append(sample_failure(row(0), FailureCategory::retryable));
    store.append(sample_record(row(0), 2));
    auto again = sample_record(row(0), 3);
    again.vector.assign(again.vector.size(), 0.0F);
    store.append(again);
    snapshot(store);
    const auto file = ResultFile::open(root);
    ASSERT_EQ(file.rows(), 1U);
    EXPECT_EQ(file.numbers(0).attempt, 2);
    EXPECT_EQ(file.read(0).record.vector, sample_record(row(0)).vector);
}

TEST_F(Store, RowsOfOneTrialShareItsVector) {
    auto twin = tables.rows[0];
    twin.axes.protocol = "same";
    tables.rows.push_back(twin);
    tables.protocols.push_back({.name = "same", .values = {}});
    auto store = begin();
    store.append(sample_record(row(0)));
    EXPECT_EQ(snapshot(store).rows, 2U);
    const auto file = ResultFile::open(root);
    ASSERT_EQ(file.rows(), 2U);
    EXPECT_EQ(file.numbers(0).trial_id, file.numbers(1).trial_id);
    EXPECT_EQ(file.read(0).record.vector, sample_record(row(0)).vector);
    EXPECT_EQ(file.read(1).record.vector, sample_record(row(0)).vector);
}

TEST_F(Store, KilledBeforeASnapshotNothingIsLost) {
    {
        auto store = begin();
        for (std::size_t number = 0; number < 7; ++number) store.append(sample_record(row(number)));
        store.sync();
    }
    auto store = open();
    store.begin_launch(tables);
    for (std::size_t number = 7; number < 12; ++number) store.append(sample_record(row(number)));
    snapshot(store);
    EXPECT_EQ(expect_whole_results(), 12U);
    EXPECT_EQ(ResultFile::open(root).tables().launches.size(), 2U);
}

TEST_F(Store, ARestartOfTheSamePlanAddsALaunchAndNotThePlan) {
    { auto store = begin(); }
    const auto first = fs::file_size(root / "journal/0001.log");
    auto later = tables;
    later.created_utc = "2027-01-01T00:00:00Z";
    auto store = open();
    store.begin_launch(later);
    EXPECT_LT(fs::file_size(root / "journal/0002.log"), first / 10);
    EXPECT_EQ(recorded().tables().launches.size(), 2U);
    EXPECT_EQ(recorded().tables().created_utc, "2026-03-01T12:00:00Z");
    EXPECT_EQ(recorded().tables().rows.size(), tables.rows.size());
}

TEST_F(Store, IsShownOnceAnExportHoldsTheLastLaunchAndAllRecords) {
    {
        auto store = begin();
        EXPECT_FALSE(store.is_shown(tables));
        for (const auto& planned : tables.rows) store.append(sample_record(planned));
        snapshot(store);
    }
    {
        auto store = open();
        EXPECT_FALSE(store.is_shown(tables)) << "the launch has not ended";
        store.begin_launch(tables);
        auto launch = tables.launches.front();
        launch.ended_utc = "2026-03-01T13:00:00Z";
        store.update_launch(launch);
        store.close();
    }
    {
        auto store = open();
        EXPECT_FALSE(store.is_shown(tables)) << "the end of the launch is not in the file";
        snapshot(store);
    }
    EXPECT_TRUE(open().is_shown(tables));
    EXPECT_FALSE(fs::exists(root / "journal" / "0003.log")) << "opening alone began a segment";
    auto other = tables;
    other.rows.pop_back();
    EXPECT_FALSE(open().is_shown(other)) << "another plan";
    const std::string shown = read_text_file(root / "results.h5");
    fs::remove(root / "results.h5");
    EXPECT_FALSE(open().is_shown(tables));
    std::string damaged = shown;
    damaged[damaged.size() / 2] ^= 1;
    write_file_atomically(root / "results.h5", damaged);
    EXPECT_FALSE(open().is_shown(tables));
    write_file_atomically(root / "results.h5", shown);
    EXPECT_TRUE(open().is_shown(tables)) << "a copy of the same content";
    {
        auto store = open();
        store.append(sample_record(row(0), 7));
        store.sync();
    }
    EXPECT_FALSE(open().is_shown(tables)) << "something has come";
}

TEST_F(Store, ACrashBetweenPublishingASegmentAndDeletingItsBulkFileIsSafe) {
    auto store = std::make_optional(begin());
    for (std::size_t number = 0; number < 7; ++number) store->append(sample_record(row(number)));
    store->sync();
    const std::string bulk = read_text_file(root / "journal/0001.bulk");
    snapshot(*store);
    store.reset();
    write_file_atomically(root / "journal/0001.bulk", bulk);
    write_file_atomically(temporary_name(root / "vectors/0002.h5"), "half a segment");
    fs::remove(root / "results.h5");

    store = open();
    EXPECT_FALSE(fs::exists(temporary_name(root / "vectors/0002.h5")));
    store->append(sample_record(row(7)));
    snapshot(*store);
    EXPECT_FALSE(fs::exists(root / "journal/0001.bulk"));
    EXPECT_EQ(expect_whole_results(), 8U);
    const auto segments = segments_of(root);
    ASSERT_EQ(segments.size(), 2U);
    EXPECT_THAT(segments[1].filename().string(), StartsWith("0002-"));
}

TEST_F(Store, ACrashBetweenPublishingASegmentAndTheResultFileIsSafe) {
    {
        auto store = begin();
        for (std::size_t number = 0; number < 7; ++number) store.append(sample_record(row(number)));
        snapshot(store);
    }
    fs::remove(root / "results.h5");
    auto store = open();
    snapshot(store);
    EXPECT_EQ(expect_whole_results(), 7U);
}

TEST_F(Store, ATrialWhoseVectorWasLostUnsyncedIsUnknownAgain) {
    {
        auto store = begin();
        store.append(sample_record(row(0)));
        store.append(sample_record(row(1)));
    }
    // What a power cut leaves: the frame is there, its arrays are not.
    fs::resize_file(root / "journal/0001.bulk", fs::file_size(root / "journal/0001.bulk") - 4);
    auto store = open();
    EXPECT_TRUE(store.known(row(0).trial_id));
    EXPECT_FALSE(store.known(row(1).trial_id));
    store.append(sample_record(row(1), 2));
    snapshot(store);
    EXPECT_EQ(expect_whole_results(), 2U);
    EXPECT_EQ(ResultFile::open(root).numbers(1).attempt, 2);
}

TEST_F(Store, RemovedVectorsSegmentsLeaveTheNumbers) {
    {
        auto store = begin();
        store.append(sample_record(row(0)));
        snapshot(store);
    }
    fs::remove(segments_of(root).at(0));
    EXPECT_THROW(ResultFile::open(root).read(0), DataError);
    auto store = open();
    EXPECT_TRUE(store.known(row(0).trial_id));
    EXPECT_EQ(snapshot(store).rows_without_arrays, 1U);
    const auto file = ResultFile::open(root);
    EXPECT_FALSE(file.has_vector(0));
    EXPECT_EQ(file.read(0).record.loss_nats, sample_record(row(0)).loss_nats);
    // A new bulk file must not be taken for the one that is gone.
    store.append(sample_record(row(1)));
    snapshot(store);
    EXPECT_FALSE(ResultFile::open(root).has_vector(0));
    EXPECT_EQ(ResultFile::open(root).read(1).record.vector, sample_record(row(1)).vector);
}

TEST_F(Store, MovingTheRunFolderKeepsEverythingReadable) {
    {
        auto store = begin();
        for (std::size_t number = 0; number < 7; ++number) store.append(sample_record(row(number)));
        snapshot(store);
    }
    fs::rename(root, place / "else%where");
    root = place / "else%where";
    EXPECT_EQ(expect_whole_results(), 7U);
}

TEST_F(Store, ASecondWriterIsRefused) {
    const auto store = open();
    EXPECT_THROW(open(), StoreError);
}

TEST_F(Store, AFullDiskFailsTheSnapshotAndNotTheRun) {
    auto store = begin();
    for (std::size_t number = 0; number < 20; ++number) store.append(sample_record(row(number)));
    snapshot(store);
    const std::string before = read_text_file(root / "results.h5");
    for (std::size_t number = 20; number < 40; ++number) store.append(sample_record(row(number)));
    rlimit former{};
    ::getrlimit(RLIMIT_FSIZE, &former);
    for (const rlim_t size : {100, 5000, 20000, 60000, 100000}) {
        rlimit limit = former;
        limit.rlim_cur = size;
        std::signal(SIGXFSZ, SIG_IGN);
        ::setrlimit(RLIMIT_FSIZE, &limit);
        EXPECT_THROW(snapshot(store), StoreError) << size;
        ::setrlimit(RLIMIT_FSIZE, &former);
        EXPECT_TRUE(read_text_file(root / "results.h5") == before);
        EXPECT_FALSE(fs::exists(temporary_name(root / "results.h5")));
    }
    store.append(sample_record(row(40)));
    EXPECT_EQ(snapshot(store).rows, 41U);
    EXPECT_EQ(expect_whole_results(), 41U);
}

TEST_F(Store, FilesOfOthersInTheFolderStay) {
    fs::create_directories(root / "empty.tmp");
    const std::vector<fs::path> others{root / "notes.tmp", root / "results.h5.tmp", root / "mine.memcap-tmp"};
    for (const auto& file : others) write_file_atomically(file, "mine");
    fs::create_directories(root / "vectors");
    write_file_atomically(temporary_name(root / "results.h5"), "half a file of a former start");
    write_file_atomically(temporary_name(root / "vectors/0001.h5"), "half a segment");
    auto store = begin();
    snapshot(store);
    EXPECT_TRUE(fs::exists(root / "empty.tmp"));
    for (const auto& file : others) EXPECT_EQ(read_text_file(file), "mine");
    EXPECT_FALSE(fs::exists(temporary_name(root / "results.h5")));
    EXPECT_TRUE(segments_of(root).empty());
}

TEST_F(Store, AFolderWhoseFilesNoRunMadeIsRefused) {
    const RunFolder folder(root);
    EXPECT_NO_THROW(folder.expect_run_or_free());
    fs::create_directories(root);
    write_file_atomically(root / "experiment.yaml", "experiment: mine");
    EXPECT_THROW(folder.expect_run_or_free(), DataError);
    fs::create_directories(root / "journal");
    EXPECT_NO_THROW(folder.expect_run_or_free());
}

TEST_F(Store, SegmentsUnderTheNamesOfFormerVersionsAreReadAndGoOn) {
    {
        auto store = begin();
        for (std::size_t number = 0; number < 5; ++number) store.append(sample_record(row(number)));
        snapshot(store);
    }
    fs::rename(segments_of(root).at(0), root / "vectors/0001.h5");
    auto store = open();
    store.append(sample_record(row(5)));
    EXPECT_EQ(snapshot(store).rows_without_arrays, 0U);
    EXPECT_EQ(expect_whole_results(), 6U);
    EXPECT_TRUE(fs::exists(root / "vectors/0001.h5"));
    EXPECT_THAT(segments_of(root).at(1).filename().string(), StartsWith("0002-"));
}

TEST_F(Store, SegmentsOfAnotherRunThatWerePutHereChangeNothing) {
    {
        auto other = RunStore::open(place / "other", {});
        other.begin_launch(tables);
        other.append(sample_record(row(9)));
        snapshot(other);
        auto store = begin();
        for (std::size_t number = 0; number < 5; ++number) store.append(sample_record(row(number)));
    }
    const auto foreign = segments_of(place / "other").at(0);
    fs::copy_file(foreign, root / "vectors" / foreign.filename());
    auto store = open();
    EXPECT_TRUE(fs::exists(root / "journal/0001.bulk"));
    EXPECT_EQ(snapshot(store).rows_without_arrays, 0U);
    EXPECT_EQ(expect_whole_results(), 5U);
}

TEST_F(Store, ACellWithOpenTrialsHasNoCapacity) {
    auto store = begin();
    for (const auto& planned : tables.rows) {
        if (planned.axes.model == "ink-64" || planned.axes.length < 32) store.append(sample_record(planned));
    }
    snapshot(store);
    const auto file = ResultFile::open(root);
    EXPECT_EQ(file.planned_trials(), 96);
    EXPECT_EQ(file.open_trials(), 16);
    const auto& shown = file.statistics();
    ASSERT_EQ(shown.size(), 8U);
    for (const auto& cell : shown) {
        const bool whole = cell.model == "ink-64";
        EXPECT_EQ(cell.open, whole ? 0 : 4);
        EXPECT_EQ(cell.capacity_known(), whole);
        EXPECT_EQ(cell.capacity_tokens, whole ? 8 * cell.memory_vectors : -1);
    }
}

TEST_F(Store, StatisticsAreThoseOfTheResultFile) {
    auto store = begin();
    for (const auto& planned : tables.rows) store.append(sample_record(planned));
    snapshot(store);
    std::vector<record::TrialRecord> records;
    for (const auto& planned : tables.rows) records.push_back(sample_record(planned));
    std::vector<metrics::Outcome> outcomes;
    for (std::size_t number = 0; number < records.size(); ++number)
        outcomes.push_back({&row(number).axes, &records[number]});
    const auto expected = metrics::statistics(outcomes, tables.models, tables.corpora, {});
    const auto file = ResultFile::open(root);
    const auto& found = file.statistics();
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t cell = 0; cell < found.size(); ++cell) {
        EXPECT_EQ(found[cell].model, expected[cell].model);
        EXPECT_EQ(found[cell].trials, 12);
        EXPECT_EQ(found[cell].capacity_tokens, 8 * found[cell].memory_vectors);
        EXPECT_EQ(found[cell].token_gain_mean, expected[cell].token_gain_mean);
        EXPECT_EQ(found[cell].utilisation, expected[cell].utilisation);
    }
}

}  // namespace
}  // namespace memcap::store
