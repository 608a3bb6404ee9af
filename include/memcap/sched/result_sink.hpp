// Where results go before anybody is told that they are safe.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "memcap/sched/attempt.hpp"
#include "memcap/sched/task.hpp"

namespace memcap::sched {

/// Keeps results. Called by the manager's thread alone.
class ResultSink {
  public:
    virtual ~ResultSink() = default;
    /// Takes a task's final result. `result.payload` is empty where no worker lived to write one
    /// (`result.failure` says why). Throws StoreError if it cannot be kept; the manager then hands out no
    /// more work.
    virtual void append(const Task& task, const TaskResult& result) = 0;
    /// Keeps how far a task is that has no result yet; its payload may name that the next time it is leased.
    /// Throws StoreError.
    virtual void checkpoint(const Task& task, std::span<const std::byte> state) = 0;
    /// Takes note that a worker died with this task, which counts as a strike in later launches too. Throws
    /// StoreError as append() does.
    virtual void crashed(const Task& task, const std::string& reason) = 0;
    /// Takes note of what became of attempts. Throws StoreError; nothing is lost by that.
    virtual void attempted(const AttemptNote& note) = 0;
    /// Returns when everything appended so far survives a crash; throws StoreError otherwise.
    virtual void sync() = 0;
};

}  // namespace memcap::sched
