// Every time and bound of manager and workers in one place; the manager's values reach the workers in its
// welcome.
#pragma once

#include <cstdint>
#include <optional>

namespace memcap::sched {

struct Options {
    double heartbeat_s = 2.0;           ///< a worker reports at least this often
    double worker_deadline_s = 60.0;    ///< silence after which a worker counts as lost
    double manager_deadline_s = 600.0;  ///< silence after which a worker gives up on the manager
    double drain_s = 30.0;        ///< after a stop: how long running tasks and results may take to come in
    std::optional<double> end_s;  ///< on the scheduler's clock: when tasks that still run are stopped
    double checkpoint_s =
        60.0;                 ///< after its start a task has been saved once; less before the end is in vain
    double finish_s = 10.0;   ///< at the end: how long workers may take to say goodbye
    double prefetch_s = 5.0;  ///< seconds of work that a worker wants to hold beyond what it runs
    double poll_min_s = 50e-6;      ///< sleep between polls while messages come
    double poll_max_s = 1e-3;       ///< sleep between polls when nothing has come for a while
    double progress_s = 0.1;        ///< at least this long between two calls of the progress callback
    std::uint32_t max_strikes = 3;  ///< crashes and retryable failures after which a task fails for good
    std::uint32_t bar_after = 3;  ///< crashes and lost devices in a row that cost a worker all further tasks
    std::uint32_t alike_failures = 8;    ///< first tasks that all fail alike and so end the run; 0: never
    std::optional<std::uint64_t> limit;  ///< only this many tasks, the first of the list, are run
};

}  // namespace memcap::sched
