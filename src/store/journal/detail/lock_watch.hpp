// A newcomer's eyes on a lock that somebody else holds.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "memcap/store/journal/folder_lock.hpp"
#include "store/journal/detail/lock_file.hpp"

namespace memcap::store::detail {

/// Remembers what a lock looked like, for how long, and what its job was said to do.
class LockWatch {
  public:
    /// `request` is borrowed.
    explicit LockWatch(const LockRequest& request) : request_(request) {}

    /// Judges the lock as it is now.
    LockJudgement judge(const LockFile& found);

  private:
    void remember(const LockFile& found);
    JobSight job_of(const LockOwner& owner);

    const LockRequest& request_;
    std::optional<std::string> text_;  ///< at the last look
    bool moved_ = false;
    double unchanged_s_ = 0.0;
    double last_look_s_ = 0.0;
    std::string job_id_;  ///< that was asked for last
    JobSight job_ = JobSight::unknown;
    double next_question_s_ = 0.0;
};

/// Sleeps, and calls `while_waiting` meanwhile.
void pause(const LockRequest& request, double seconds);

}  // namespace memcap::store::detail
