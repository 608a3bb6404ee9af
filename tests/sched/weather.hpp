// What may happen in a simulated run.
#pragma once

#include <cstdint>
#include <optional>

namespace memcap::sched::testing {

/// All chances are between 0 and 1; times are drawn from the first kFaults_s seconds.
struct Weather {
    static constexpr double kFaults_s = 25.0;

    double max_delay_s = 0.001;  ///< of a message; those between two ends stay in order
    double crash = 0.0;          ///< of each worker: its process dies at some time; drawn again after each
    double death = 0.0;          ///< of each worker: its whole rank is gone at some time
    double stall = 0.0;          ///< of each worker: silent for a while, longer than the deadline
    double leave = 0.0;          ///< of each worker, at some time
    double late_join = 0.0;      ///< of each worker
    double poison = 0.0;         ///< of each task: kills every process that runs it
    double permanent = 0.0;      ///< of each task: fails for good
    double flaky = 0.0;          ///< of each task: fails in a retryable way once or twice
    double device_lost = 0.0;    ///< of each worker: what it runs after some time loses the device
    double blind = 0.0;          ///< of each worker and affinity: it cannot run any of these
    double throwing = 0.0;       ///< of each worker: its executor throws at some time
    double stop = 0.0;           ///< of the run: a stop is requested at some time
    double ends = 0.0;           ///< of the run: its job ends at some time
    double away = 0.0;           ///< of the manager: it does nothing for a while, longer than the deadline
    double bad_disk = 0.0;       ///< of the run: from some time on nothing can be stored
    int min_workers = 1;
    int max_workers = 8;
    int max_tasks = 40;
    std::optional<std::uint64_t> limit;
};

}  // namespace memcap::sched::testing
