// Whether a lock may be taken over: from its text and from what was seen of its owner, and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "memcap/store/journal/lock_owner.hpp"

namespace memcap::store {

/// What asking for a kernel lock on the lock file met.
enum class KernelLock : std::uint8_t {
    unsupported,    ///< this file system has none
    free,           ///< nobody whom this kernel knows of holds one
    somebody_else,  ///< it is held
};

/// What this kernel says of the process with the owner's number and start, which need not be the owner.
enum class ProcessSight : std::uint8_t { unknown, alive, dead };

/// What the batch system says of the owner's job.
enum class JobSight : std::uint8_t { unknown, alive, gone };

/// What a newcomer has seen of a lock and its owner.
struct LockSight {
    KernelLock kernel_lock = KernelLock::unsupported;
    ProcessSight process = ProcessSight::unknown;
    JobSight job = JobSight::unknown;
    std::uint64_t device = 0;  ///< of the lock file, as this kernel names it
    bool moved = false;        ///< the heartbeat has changed under the eyes of the newcomer
    double unchanged_s = 0.0;  ///< for how long the newcomer has looked without seeing a change
};

enum class Verdict : std::uint8_t {
    take,  ///< the owner is gone
    wait,  ///< it is silent, but not yet for long enough
    held,  ///< it lives, or nothing can prove that it does not
};

struct LockJudgement {
    Verdict verdict = Verdict::held;
    std::string why;      ///< a clause: what the verdict rests on
    double left_s = 0.0;  ///< with `wait`: of silence, until the lock may be taken
};

/// Judges the lock with this text. Numbers of processes count between processes of one kernel and one
/// namespace alone, kernel locks on one file system of one kernel; across those only the batch system's word
/// or `silence_s` without a heartbeat prove that the owner is gone.
LockJudgement judge_lock(std::string_view text, const LockSight& sight, const LockOwner& self,
                         double silence_s);

/// Whether process numbers of the two mean the same process.
bool share_processes(const LockOwner& a, const LockOwner& b);
/// Whether job numbers of the two mean the same job.
bool share_jobs(const LockOwner& a, const LockOwner& b);

}  // namespace memcap::store
