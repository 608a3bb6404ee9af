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

#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/checkpoints.hpp"
#include "memcap/store/journal/folder_lock.hpp"
#include "memcap/store/journal/index_file.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/run_index.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/token_cache.hpp"

namespace memcap::store {

struct OpenOptions {
    std::string job_id;  ///< of the batch system; empty if there is none
    std::int32_t restart_count = 0;
    /// Called several times a second while it takes time to find out whether the folder's former writer
    /// lives; may throw to give up.
    std::function<void()> while_waiting{};
    /// Calls make_index() in another process, so that none of HDF5 runs in this one, and calls `keep_folder`
    /// at least once a minute meanwhile. Throws StoreError. Nothing: it is called in this process.
    std::function<void(const std::function<void()>& keep_folder)> make_index{};
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

/// What an export is to show: all that had been synced when it was asked for.
struct ExportPoint {
    JournalEnd journal;
    std::uint32_t bulk_end = 0;  ///< bulk files from this number on may be written to
};

/// A run folder that is open for writing. It holds a few bytes a trial, and calls no HDF5. One thread at a
/// time may use it.
///
/// Order of use: open; known() for each planned trial; begin_launch; then append... sync (then acknowledge),
/// with an export every few minutes; at the end one more export, and close(). What was synced survives any
/// crash; a record that was appended but not yet synced may be lost with the machine, though not with the
/// process.
class RunStore {
  public:
    /// Opens or makes the folder: takes its lock, reads the index and what the journal has grown by, cuts
    /// torn tails, removes what a crash left half done, and logs what was damaged. Waits where only time can
    /// tell whether the former writer is gone. Throws StoreError.
    static RunStore open(const std::filesystem::path& root, const OpenOptions& options);

    RunStore(RunStore&&) noexcept;
    RunStore& operator=(RunStore&&) noexcept;
    ~RunStore();

    const RunFolder& folder() const noexcept { return folder_; }
    TokenCache tokens() const { return TokenCache(folder_.tokens()); }
    /// Of what was read of the journal at the opening: not what the index covers.
    const JournalReport& report() const noexcept { return report_; }
    /// Nothing if the trial has to be run: no record, or one whose vector was lost before it was
    /// acknowledged.
    std::optional<KnownTrial> known(const Id128& trial) const;

    /// Whether results.h5 is known to show all that is on record, under this plan: then a launch that has
    /// nothing to run has nothing to change.
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
    std::uint32_t crashes(const Id128& trial) const { return index_.crashes(trial); }
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
    /// Syncs, and ends the bulk file in use if it is large, or old beside the age of this launch: then
    /// exports find few large files rather than many small ones. Throws StoreError.
    ExportPoint next_export();
    /// Syncs, and ends the bulk file in use, so that an export shows all. Throws StoreError.
    ExportPoint last_export();
    /// Syncs and releases the folder; nothing may be called after it.
    void close();

  private:
    RunStore(RunFolder folder, std::unique_ptr<FolderLock> lock, FoundIndex found, JournalWriter journal,
             Checkpoints checkpoints);
    /// Logs that results of earlier plans stay beside those of the last one.
    void tell_earlier_rows(const RunState& plans) const;
    bool has_record(const Id128& trial) const;
    void keep_folder();

    RunFolder folder_;
    std::unique_ptr<FolderLock> lock_;  ///< the journal refers to it
    RunIndex index_;
    JournalReport report_;
    bool is_covered_;   ///< whether the index file covers the whole journal
    FileDigest shown_;  ///< of results.h5 as the index file has it
    JournalWriter journal_;
    Checkpoints checkpoints_;
    double opened_s_;
    double ended_bulk_s_;  ///< when the last bulk file was ended, or the folder opened
};

/// Reads all of a folder's journal and writes its index, on behalf of whoever holds the folder: torn tails
/// are cut, and what was damaged is logged. Throws StoreError.
void make_index(const std::filesystem::path& root);

/// results.h5 and the index of a run that somebody else, on whose behalf this is called, is writing: from the
/// journal up to `point`, with the vectors of ended bulk files, which become segments. Throws StoreError;
/// nothing is lost by that.
SnapshotReport export_results(const std::filesystem::path& root, const ExportPoint& point);

}  // namespace memcap::store
