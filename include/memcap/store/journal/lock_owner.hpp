// Who holds a run folder, and the text of the lock file that says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace memcap::store {

/// A process that holds a run folder, or wants to.
struct LockOwner {
    std::string host;
    std::int64_t pid = 0;
    std::string job_id;   ///< empty outside a batch system
    std::string cluster;  ///< that the job belongs to: two clusters may count alike on one file system
    std::int32_t restart_count = 0;
    std::string started_utc;
    std::string boot_id;              ///< of the running kernel; empty if it does not say
    std::uint64_t pid_namespace = 0;  ///< in which `pid` counts; 0: unknown
    std::uint64_t process_start =
        0;                     ///< of the process, in ticks since boot: numbers of processes come again
    std::uint64_t device = 0;  ///< of the file system that the lock lies on, as the owner's kernel names it
    bool kernel_lock = false;  ///< whether the owner holds a kernel lock on the file as well
    std::uint64_t generation = 0;  ///< one more with each taking over; 0: of a memcap without heartbeat
    std::string token;             ///< of this taking alone; empty: of a memcap without heartbeat
    std::uint64_t beats = 0;       ///< how often the owner has renewed it
    std::string beat_utc;          ///< when it last did, by its own clock

    /// Whether the owner shows that it lives. Silence of one that does not means nothing.
    bool beating() const noexcept { return !token.empty(); }
    /// The last sign of life that the text holds, by the owner's clock.
    const std::string& last_sign_utc() const noexcept { return beat_utc.empty() ? started_utc : beat_utc; }
};

/// The process that calls it, outside any job, with a token of its own.
LockOwner this_process();

/// The content of a lock file: a key a line.
std::string to_text(const LockOwner& owner);
/// The line with the heartbeat, which has the same size for each number and time below 10^10 and year 10000.
std::string beat_line(const LockOwner& owner);
/// Nothing if the text was not written to its end. Unknown keys are passed over.
std::optional<LockOwner> parse_owner(std::string_view text);

/// "process 12 on host n1 (job 77)"
std::string describe(const LockOwner& owner);

}  // namespace memcap::store
