// The record of a run: results are journalled before anybody is told, and shown in results.h5.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memcap/metrics/statistics.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/checkpoints.hpp"
#include "memcap/store/journal/folder_lock.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/token_cache.hpp"

namespace memcap::store {

namespace detail {
class ArrayLibrary;
}

struct OpenOptions {
    std::string job_id;  ///< of the batch system; empty if there is none
    std::int32_t restart_count = 0;
    /// Called several times a second while it takes time to find out whether the folder's former writer
    /// lives; may throw to give up.
    std::function<void()> while_waiting{};
};

/// How a run asks for the lock of its folder.
LockRequest lock_request(const OpenOptions& options);

/// What the journal already holds of a trial.
struct KnownTrial {
    record::TrialStatus status = record::TrialStatus::done;
    record::FailureCategory category = record::FailureCategory::permanent;  ///< meaningful only if it failed
    std::int32_t attempts = 0;  ///< the highest attempt number on record
};

/// What a snapshot wrote, and what it had to leave out.
struct SnapshotReport {
    std::uint64_t rows = 0;
    std::uint64_t rows_without_tokens = 0;  ///< their file in tokens/ is missing or damaged
    std::uint64_t rows_without_arrays = 0;  ///< their vector was kept, but its segment is missing or damaged
    std::vector<std::string> lost_segments = {};  ///< these, in order; a name with * where the file is gone
    std::uint64_t rows_with_young_arrays =
        0;  ///< their vector is still in the journal, where none can refer to
};

/// Says which segments are lost, and what can be done; empty if none is.
std::string lost_text(const SnapshotReport& report);

/// Says that trials have no row any more, why, and how they come back; `reason` as RunState::dropped() has
/// it.
std::string dropped_text(const std::string& reason, std::uint64_t count);

/// A run folder that is open for writing. One thread at a time may use it.
///
/// Order of use: open; known() for each planned trial; begin_launch; then append... sync (then acknowledge),
/// with a snapshot every few minutes; at the end close(). What was synced survives any crash; a record that
/// was appended but not yet synced may be lost with the machine, though not with the process.
class RunStore {
  public:
    /// Opens or makes the folder: takes its lock, reads the journal, cuts torn tails, finishes what a crash
    /// interrupted, and logs what was damaged. Waits where only time can tell whether the former writer is
    /// gone. Throws StoreError.
    static RunStore open(const std::filesystem::path& root, const OpenOptions& options);

    RunStore(RunStore&&) noexcept;
    RunStore& operator=(RunStore&&) noexcept;
    ~RunStore();

    const RunFolder& folder() const noexcept { return folder_; }
    TokenCache tokens() const { return TokenCache(folder_.tokens()); }
    const JournalReport& report() const noexcept { return state_.report(); }
    /// Nothing if the trial has to be run: no record, or one whose vector was lost before it was
    /// acknowledged.
    std::optional<KnownTrial> known(const Id128& trial) const;
    /// The tables of the last launch; `launches` holds all of them. Empty in a new folder.
    const record::RunTables& tables() const noexcept { return state_.tables(); }

    /// Whether results.h5 shows all that is on record, under this plan: then a launch that has nothing to run
    /// has nothing to change.
    bool is_shown(const record::RunTables& plan) const;

    /// Records what this launch is to do and writes experiment.yaml; `tables.launches` must hold this launch
    /// alone.
    void begin_launch(record::RunTables tables);
    /// Replaces what is on record about this launch, e.g. once hosts and devices are known, or when it ends.
    void update_launch(const record::LaunchRow& launch);

    /// Journals a record with its vector and curve; durable after sync(). Throws StoreError (disk full: free
    /// space and append again; the journal stays whole).
    void append(const record::TrialRecord& record);
    /// Takes note that a process died with a trial; durable after sync(). Throws StoreError.
    void crashed(const Id128& trial, const std::string& reason);
    /// How often that has happened, in all launches.
    std::uint32_t crashes(const Id128& trial) const { return state_.crashes(trial); }
    /// Takes note of how attempts began or ended without a result. Throws StoreError; nothing is lost by
    /// that.
    void attempted(const AttemptsPayload& attempts);
    /// Keeps how far a trial is, in place of what was kept before; durable after sync(). Throws StoreError.
    void checkpoint(const Id128& trial, std::span<const std::byte> state);
    /// What a trial without a result can go on from; none if it has to start anew.
    std::optional<Bytes> checkpoint_of(const Id128& trial) const { return checkpoints_.get(trial); }
    /// Brings all that was appended to the disk; only then may results be acknowledged. Throws StoreError,
    /// also if another run has taken the folder over.
    void sync();
    /// Shows others that this run lives, every ten seconds at most: call it at least once a minute, also
    /// while no result comes. Throws StoreError if another run has taken the folder over. `now_s` is of
    /// monotonic_s().
    void beat(double now_s) { lock_->beat(now_s); }
    /// Moves vectors to an immutable segment and replaces results.h5. Throws StoreError; nothing is lost by
    /// that.
    SnapshotReport snapshot();
    /// Ends the file that new vectors go to if it is large, or old beside the age of this launch, so that
    /// export_results() finds few large files rather than many small ones. Returns the number from which on
    /// files may be written to. Throws StoreError.
    std::uint32_t end_large_bulk_file();
    /// Syncs and releases the folder; append and snapshot must not be called after it.
    void close();

    /// How far the plan of the last launch is.
    PlanProgress progress() const { return state_.progress(); }
    /// The statistics of all records so far, as results.h5 has them.
    std::vector<metrics::StatisticsRow> statistics() const;
    /// Rows as results.h5 has them: planned, with a record, in planned order. Valid until the next append.
    std::vector<metrics::Outcome> outcomes() const;

  private:
    /// Logs that results of earlier plans stay beside those of the last one.
    void tell_earlier_rows() const;

    RunStore(RunFolder folder, std::unique_ptr<FolderLock> lock, RunState state, JournalWriter journal,
             Checkpoints checkpoints, detail::ArrayLibrary library);
    void keep_folder();

    RunFolder folder_;
    std::unique_ptr<FolderLock> lock_;  ///< the journal refers to it
    RunState state_;
    JournalWriter journal_;
    Checkpoints checkpoints_;
    double opened_s_;
    double ended_bulk_s_;  ///< when the last bulk file was ended, or the folder opened
    std::unique_ptr<detail::ArrayLibrary> library_;
};

/// results.h5 of a run that somebody else, on whose behalf this is called, is writing: from the journal as it
/// is now, with vectors of the bulk files below `bulk_end`, which become segments. Throws StoreError; nothing
/// is lost by that.
SnapshotReport export_results(const std::filesystem::path& root, std::uint32_t bulk_end);

}  // namespace memcap::store
