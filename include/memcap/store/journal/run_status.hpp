// How far a run is, read from its journal without locks while somebody else may be writing it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/axes.hpp"
#include "memcap/base/ids.hpp"
#include "memcap/base/shard.hpp"
#include "memcap/store/journal/folder_lock.hpp"
#include "memcap/store/journal/run_folder.hpp"

namespace memcap::store {

/// Failed trials of one kind.
struct FailureGroup {
    std::string kind;    ///< record::failure_kind() of each
    std::string reason;  ///< category and message of the first
    Axes axes;           ///< of the first
    std::vector<Id128> trials;
};

struct RunStatus {
    std::string experiment;
    std::optional<Shard> shard;  ///< that the folder holds; the counts of trials are its own
    std::vector<std::uint64_t>
        planned_by_shard;         ///< distinct trials of the last plan in each shard; empty if not sharded
    std::uint64_t planned = 0;    ///< distinct trials of the last plan
    std::uint64_t done = 0;       ///< of those
    std::uint64_t failed = 0;     ///< of those: permanently
    std::uint64_t retryable = 0;  ///< of those: failed in a way that the next start tries again
    std::uint64_t skipped = 0;
    std::uint64_t launches = 0;
    std::string started_utc;  ///< of the last launch
    std::string ended_utc;    ///< of the last launch; empty while it runs, or if it died
    std::string last_result_utc;
    std::uint64_t done_in_launch = 0;  ///< trials that the last launch has finished
    double elapsed_in_launch_s =
        0.0;  ///< from its start to its last result, at least 1: times have whole seconds
    std::vector<FailureGroup> failures;  ///< of `failed` and `retryable`, the most frequent first
    std::optional<LockOwner> owner;      ///< who holds the folder now, alive or not
    OwnerLife life = OwnerLife::none;    ///< of the owner
    std::uint64_t damaged_bytes = 0;

    std::uint64_t open() const { return planned - done - failed; }
    /// Finished trials a second in the last launch; 0 if unknown.
    double rate_per_s() const {
        return elapsed_in_launch_s > 0.0 ? static_cast<double>(done_in_launch) / elapsed_in_launch_s : 0.0;
    }
};

/// What a run is at, as `status --json` names it.
enum class RunActivity : std::uint8_t {
    not_started,  ///< a journal, but no launch
    running,
    stopped,  ///< nobody writes, and trials are open
    dead,     ///< its last launch neither ended nor gives a sign of life
    done,     ///< nobody writes, and no trial is open
};
RunActivity activity(const RunStatus& status);
/// As docs/run-status.md has it.
std::string_view to_string(RunActivity activity);
/// For a dead run: who wrote it, that it is dead, since when, and what to do; else empty.
std::string death_text(const RunStatus& status);

/// Throws StoreError if there is no run in the folder. `request` says who looks.
RunStatus read_status(const RunFolder& folder, const LockRequest& request = {});

}  // namespace memcap::store
