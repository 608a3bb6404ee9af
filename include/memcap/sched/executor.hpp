// The seam to the code that computes: it takes tasks from a WorkPort and gives their results back there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "memcap/sched/task.hpp"

namespace memcap::sched {

/// What an executor sees of the scheduler. All calls are safe from any thread.
class WorkPort {
  public:
    virtual ~WorkPort() = default;
    /// Takes at most `most` tasks, all of one affinity, waiting up to `wait_s` seconds for the first one.
    /// Returns none when none came, and at once when the port is closed. `most` also tells the worker how
    /// many slots are free now, so call it whenever there are some, with wait_s = 0 while others are busy.
    virtual std::vector<LeasedTask> take(std::size_t most, double wait_s) = 0;
    /// Gives the result of a task that was taken; each task once.
    virtual void finish(TaskResult result) = 0;
    /// How far a task is that was taken and not finished: what its next attempt can go on from.
    virtual void checkpoint(TaskIndex task, Bytes state) = 0;
    /// So much work was done in so many seconds on tasks of this affinity: by that workers are compared.
    /// `unfinished`: of all tasks that were taken and not finished, from which the run's progress is told.
    virtual void computed(std::uint64_t affinity, double work, double seconds,
                          const UnfinishedWork& unfinished) = 0;
    /// True once the run is to end now: leave running tasks as they are and return from Executor::run;
    /// checkpoints may still be given. Cheap.
    virtual bool stop_requested() const noexcept = 0;
    /// True once no further task will come; an executor with nothing to do returns then.
    virtual bool closed() const noexcept = 0;
};

/// Computes tasks; lives on a thread of its own.
class Executor {
  public:
    virtual ~Executor() = default;
    /// Runs until the port is closed. Tasks taken but not finished by then go back to the manager without
    /// blame. An exception ends this worker, not the run: the tasks it was running are tried elsewhere.
    virtual void run(WorkPort& port) = 0;
};

}  // namespace memcap::sched
