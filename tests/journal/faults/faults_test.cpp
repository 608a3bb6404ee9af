// Whatever fails, and whenever: what was acknowledged is there afterwards, and the next start goes on.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>
#include <set>

#include "journal/faults/faulty_files.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/store/journal/folder_lock.hpp"
#include "memcap/store/journal/index_file.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using testing::Fault;
using testing::FaultKind;
using testing::FaultLasts;
using testing::FaultyFiles;
using testing::kPowerCut;
using testing::sample_failure;
using testing::sample_record;
using testing::sample_tables;
using testing::TemporaryFolder;

constexpr std::size_t kTrials = 8;
constexpr int kStopped = 3;

LockRequest who() {
    LockRequest request;
    request.times.silence_s = 0.05;
    request.times.look_every_s = 0.01;
    return request;
}

RunState read(const RunFolder& folder, TornTails tails) {
    return replay(folder, bulk_files_check(folder), tails);
}

/// As a run opens its folder.
FoundIndex open(const RunFolder& folder) {
    const auto check = bulk_files_check(folder, ArraysState::missing);
    if (auto found = read_index(folder, check, TornTails::cut)) return std::move(*found);
    write_index(folder, read(folder, TornTails::cut), {});
    return read_index(folder, check, TornTails::cut).value();
}

/// As the exporter does it, whose failures cost nothing.
void write_index_of(const RunFolder& folder, const JournalEnd& end) {
    try {
        write_index(folder, replay(folder, bulk_files_check(folder), TornTails::keep, end), {});
    } catch (const StoreError&) {
    }
}

/// Tries again once, as after space was freed.
template <class Record>
void append(JournalWriter& writer, const Record& record) {
    try {
        writer.append(record);
    } catch (const StoreError&) {
        writer.append(record);
    }
}

/// Runs up to `count` of the trials that are not on record, two a sync, a new bulk file now and then; writes
/// the rows that it acknowledges to `pipe`.
void run(const RunFolder& folder, std::size_t count, int pipe) {
    const auto tables = sample_tables();
    auto lock = FolderLock::acquire(folder.lock_file(), who());
    const FoundIndex found = open(folder);
    std::uint32_t last_bulk = found.index.last_bulk();
    for (const auto number : numbered_files(folder.journal(), ".bulk"))
        last_bulk = std::max(last_bulk, number);
    auto writer = JournalWriter::create(
        folder, found.index.run_id(),
        {.next_bulk = last_bulk + 1, .ends = found.ends, .before_new_file = [&lock] { lock.expect_held(); }});
    append(writer, tables);
    writer.sync();
    std::vector<std::uint32_t> batch;
    for (std::uint32_t row = 0; row < kTrials && count > 0; ++row) {
        const IndexedTrial* known = found.index.find(tables.rows[row].trial_id);
        if (known != nullptr && known->final()) continue;
        append(writer, sample_record(tables.rows[row]));
        batch.push_back(row);
        --count;
        if (batch.size() < 2) continue;
        lock.beat(1e18);
        writer.sync();
        if (::write(pipe, batch.data(), batch.size() * sizeof(row)) < 0) std::_Exit(1);
        batch.clear();
        if (row % 4 == 3) writer.end_bulk_file();
        const JournalEnd end = writer.end();
        if (row % 4 == 1) append(writer, sample_failure(tables.rows[kTrials]));
        write_index_of(folder, end);
    }
    writer.sync();
}

/// A run in a process of its own, and what it acknowledged.
struct Outcome {
    int status = 0;  ///< 0: to its end, untouched by the fault
    std::set<std::uint32_t> acknowledged;
};

Outcome run_with(const RunFolder& folder, const Fault& fault) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const FaultyFiles files(folder.root(), fault);
        try {
            run(folder, 6, ends[1]);
            std::_Exit(files.has_failed() ? kStopped : 0);
        } catch (const StoreError&) {
            std::_Exit(kStopped);
        }
    }
    ::close(ends[1]);
    Outcome outcome;
    for (std::uint32_t row = 0; ::read(ends[0], &row, sizeof(row)) == sizeof(row);)
        outcome.acknowledged.insert(row);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

void expect_recorded(const RunFolder& folder, const std::set<std::uint32_t>& rows) {
    const auto tables = sample_tables();
    const RunState state = read(folder, TornTails::keep);
    for (const std::uint32_t row : rows) {
        const StoredRecord* stored = state.find(tables.rows[row].trial_id);
        ASSERT_TRUE(stored != nullptr && stored->final()) << "row " << row;
        EXPECT_EQ(stored->record.loss_nats, sample_record(tables.rows[row]).loss_nats);
    }
    // What a run would go on from says neither less nor more.
    const auto found = read_index(folder, bulk_files_check(folder, ArraysState::missing), TornTails::keep);
    if (!found) return;
    for (const auto& [trial, stored] : state.records()) {
        const IndexedTrial* known = found->index.find(trial);
        ASSERT_NE(known, nullptr);
        EXPECT_EQ(known->final(), stored.final());
        EXPECT_EQ(known->attempts, stored.attempts);
    }
    for (const IndexedTrial& known : found->index.trials())
        EXPECT_EQ(known.on_record, state.find(known.trial) != nullptr);
}

/// A run in this process that no fault touches; without real syncs, which only cost time.
void run_untouched(const RunFolder& folder, std::size_t count) {
    const FaultyFiles files(folder.root(), {.call = std::numeric_limits<int>::max()});
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    run(folder, count, nowhere);
    ::close(nowhere);
}

/// One fault in a folder that has a start behind it; returns how the run ended.
int survive(const Fault& fault) {
    const TemporaryFolder place;
    const RunFolder folder(place / "run");
    folder.create();
    run_untouched(folder, 2);
    const Outcome outcome = run_with(folder, fault);
    auto recorded = outcome.acknowledged;
    recorded.insert({0, 1});
    expect_recorded(folder, recorded);
    if (fault.kind != FaultKind::power_cut) {
        EXPECT_EQ(read(folder, TornTails::keep).report().damaged_bytes, 0U);
    }
    run_untouched(folder, kTrials);
    std::set<std::uint32_t> all;
    for (std::uint32_t row = 0; row < kTrials; ++row) all.insert(row);
    expect_recorded(folder, all);
    return outcome.status;
}

class Faults : public ::testing::Test {
  protected:
    /// A disk of its own would only cost time.
    static void SetUpTestSuite() {
        if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 1);
    }
};

TEST_F(Faults, NoFailingCallLosesWhatWasAcknowledged) {
    for (const auto kind : {FaultKind::io_error, FaultKind::disk_full, FaultKind::short_write}) {
        for (const auto lasts : {FaultLasts::once, FaultLasts::from_then_on}) {
            int call = 1;
            for (;; ++call) {
                SCOPED_TRACE(::testing::Message() << "kind " << static_cast<int>(kind) << ", lasts "
                                                  << static_cast<int>(lasts) << ", call " << call);
                const int status = survive({.kind = kind, .lasts = lasts, .call = call});
                ASSERT_TRUE(status == 0 || status == kStopped) << status;
                if (status == 0 || ::testing::Test::HasFailure()) break;
            }
            EXPECT_GT(call, 20);
        }
    }
}

TEST_F(Faults, NoPowerCutLosesWhatWasAcknowledged) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
        int call = 1;
        for (;; ++call) {
            SCOPED_TRACE(::testing::Message() << "seed " << seed << ", sync " << call);
            const int status = survive({.kind = FaultKind::power_cut, .call = call, .seed = 1000 * seed + 7});
            ASSERT_TRUE(status == 0 || status == kPowerCut) << status;
            if (status == 0 || ::testing::Test::HasFailure()) break;
        }
        EXPECT_GT(call, 10);
    }
}

TEST_F(Faults, WhatAStartHasFoundIsNotTakenBackByALaterPowerCut) {
    const auto tables = sample_tables();
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const TemporaryFolder place;
        const RunFolder folder(place / "run");
        folder.create();
        const pid_t child = ::fork();
        if (child == 0) {
            FaultyFiles files(
                folder.root(),
                {.kind = FaultKind::power_cut, .call = std::numeric_limits<int>::max(), .seed = seed});
            // As a killed process leaves it: written, but not synced.
            JournalWriter::create(folder, {1, 2}, {}).append(sample_record(tables.rows[0]));
            const RunState state = read(folder, TornTails::cut);
            auto writer =
                JournalWriter::create(folder, state.run_id(), {.next_bulk = 2, .ends = state.segment_ends()});
            files.fail_next();
            writer.append(tables);
            std::_Exit(1);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        EXPECT_EQ(WEXITSTATUS(status), kPowerCut);
        expect_recorded(folder, {0});
    }
}

}  // namespace
}  // namespace memcap::store
