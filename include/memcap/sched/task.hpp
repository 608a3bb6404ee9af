// A task as the scheduler sees it: a cost, an affinity and bytes that it never looks into; and how it ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "memcap/base/bytes.hpp"
#include "memcap/base/ids.hpp"

namespace memcap::sched {

/// The place of a task in the list that the scheduler was given.
using TaskIndex = StrongId<struct TaskTag, std::uint32_t>;
/// A lease; numbers grow over a run and start at 1, so 0 means "none yet".
using LeaseId = StrongId<struct LeaseTag, std::uint64_t>;
/// A process of the run; rank 0 is the manager and, over the local transport, a worker too.
using Rank = std::int32_t;

struct Task {
    TaskIndex id;
    Id128 key;                   ///< names the task in messages to people
    std::uint64_t affinity = 0;  ///< tasks of equal affinity share what a worker has to load first
    double cost = 1.0;           ///< a hint in FLOPs; only ratios matter, what is not positive counts as 1
    Bytes payload;               ///< may come with the lease, see ManagerSetup::payload_of
    std::uint32_t strikes = 0;   ///< crashes in earlier launches, see ResultSink::crashed
};

/// One execution of a task, as the executor gets it.
struct LeasedTask {
    Task task;
    std::uint32_t attempt = 1;  ///< from 1
};

/// Which execution of a task a message is about: a lease holds a task at most once.
struct TaskLease {
    TaskIndex task;
    LeaseId lease;
    auto operator<=>(const TaskLease&) const = default;
};

/// What a failure means for the next attempt: try again, never try again, try again on another worker, or
/// (host) that this worker can run no task of this affinity, which is not the task's fault.
enum class FailureCategory : std::uint8_t { retryable, permanent, device_lost, host };

std::string_view to_string(FailureCategory value);

struct TaskFailure {
    FailureCategory category = FailureCategory::permanent;
    std::string message;
};

struct TaskResult {
    TaskIndex task;
    std::uint32_t attempt = 1;
    std::optional<TaskFailure> failure;  ///< none: the task is done
    Bytes payload;  ///< the executor's record; empty if the manager made this result itself
};

/// How far a worker's process has brought the tasks that are running there, since it took them.
struct UnfinishedWork {
    double work = 0.0;        ///< in the unit of Task::cost
    std::uint64_t steps = 0;  ///< of all of them together
};

}  // namespace memcap::sched
