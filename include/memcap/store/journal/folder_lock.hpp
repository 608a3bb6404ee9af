// One writer a run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "memcap/store/journal/batch_job.hpp"
#include "memcap/store/journal/lock_owner.hpp"
#include "memcap/store/journal/lock_verdict.hpp"

namespace memcap::store {

struct LockTimes {
    double beat_every_s = 10.0;   ///< the owner shows that it lives this often, at most
    double check_every_s = 1.0;   ///< it looks whether the folder is still its own this often, at most
    double silence_s = 300.0;     ///< without a heartbeat, after which an owner counts as gone
    double look_every_s = 1.0;    ///< a newcomer looks this often
    double claim_every_s = 0.02;  ///< and this often while another newcomer is taking the lock
};

/// Whether kernel locks are asked for; without them it is as on a file system that has none.
enum class KernelLocks : std::uint8_t { use, leave };

/// Who wants a folder, and how it goes about it.
struct LockRequest {
    LockOwner self = this_process();
    LockTimes times{};
    KernelLocks kernel_locks = KernelLocks::use;
    /// Called several times a second while silence is waited for; may throw to give up.
    std::function<void()> while_waiting{};
    std::function<JobSight(const std::string&)> ask_job = [](const std::string& job) {
        return ask_slurm(job);
    };
};

/// The right to write to a run folder, held as long as the object lives, or until another process takes it.
///
/// The text in the file says who holds it, and holds a heartbeat. Who wants the folder takes it at once if
/// the owner is known to be gone (a dead process of this kernel and namespace, an earlier start of the same
/// batch job, a job that Slurm does not know any more); else it watches the file, and takes it if nothing
/// changes there for LockTimes::silence_s. It never compares clocks of two hosts. A kernel lock on the file
/// is held as well where the file system has them; nothing depends on it.
///
/// Another process takes the folder by putting a file with another token in place of this one, so an owner
/// that was asleep finds out at its next look.
class FolderLock {
  public:
    /// Throws StoreError, which names the owner and says what to do, if somebody else holds it.
    static FolderLock acquire(const std::filesystem::path& file, const LockRequest& request = {});

    FolderLock(FolderLock&& other) noexcept;
    FolderLock& operator=(FolderLock&& other) noexcept;
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;
    ~FolderLock();

    /// Renews the heartbeat if the last one is LockTimes::beat_every_s old. Costs nothing before that. Throws
    /// StoreError if the folder is not this process's any more. `now_s` is of monotonic_s().
    void beat(double now_s);
    /// Throws StoreError, which names the new owner, if the folder is not this process's any more; looks at
    /// most each LockTimes::check_every_s.
    void expect_held(double now_s);
    /// The same, and looks in any case.
    void expect_held();

    const LockOwner& self() const noexcept { return self_; }
    void release() noexcept;

  private:
    FolderLock(std::filesystem::path file, int descriptor, LockOwner self, const LockTimes& times);
    void renew();

    std::filesystem::path file_;
    int descriptor_ = -1;
    LockOwner self_;
    LockTimes times_;
    std::uint64_t beat_offset_bytes_ = 0;
    double next_beat_s_ = 0.0;
    double next_check_s_ = 0.0;
};

/// Who holds the lock, if there is a lock file that can be read. Takes no lock.
std::optional<LockOwner> read_lock(const std::filesystem::path& file);

/// What one look at a lock says of its owner.
enum class OwnerLife : std::uint8_t {
    none,    ///< nobody holds the folder
    alive,   ///< shows that it lives, or nothing speaks against it
    silent,  ///< by the clocks of the hosts, the last sign of life is older than LockTimes::silence_s
    dead,    ///< its process or its job is gone
};

struct OwnerLook {
    std::optional<LockOwner> owner;
    OwnerLife life = OwnerLife::none;
};

/// Looks at a lock once, without taking it. Where the owner's process cannot be seen from here, its heartbeat
/// is compared with this host's clock: good enough to tell a reader, and never a reason to take the lock.
OwnerLook look_at_owner(const std::filesystem::path& file, const LockRequest& request = {});

}  // namespace memcap::store
