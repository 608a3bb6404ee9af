// The manager: hands out tasks over transports and keeps results.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memcap/sched/message.hpp"
#include "memcap/sched/options.hpp"
#include "memcap/sched/result_sink.hpp"
#include "memcap/sched/task.hpp"
#include "memcap/sched/transport.hpp"

namespace memcap::sched {

class Scheduler;

/// Makes the payload of a task that comes without one, each time it is leased.
using PayloadSource = std::function<Bytes(const Task&)>;

/// Makes what a worker needs to know of the run before it gets tasks; nothing while that is not known yet: it
/// is asked again soon.
using SetupSource = std::function<std::optional<Bytes>(Rank worker, const WorkerFacts& facts)>;

/// Where a run stands.
struct Progress {
    std::uint64_t total = 0;  ///< tasks of this run, those beyond a limit left out
    std::uint64_t done = 0;
    std::uint64_t failed = 0;   ///< for good
    std::uint64_t running = 0;  ///< started by a worker
    std::uint64_t waiting = 0;  ///< the rest
    std::uint32_t workers = 0;  ///< able to work now
    std::uint32_t lost_workers = 0;
    double elapsed_s = 0.0;
    double tasks_per_s = 0.0;            ///< ended tasks, over the last minute or so
    double remaining_s = 0.0;            ///< by cost; NaN before anything was computed
    std::uint64_t unfinished_steps = 0;  ///< of the tasks that are running
    bool stopping = false;
};

struct RunOutcome {
    std::uint64_t done = 0;
    std::uint64_t failed = 0;        ///< for good
    std::uint64_t remaining = 0;     ///< neither, those beyond a limit included: run again
    bool stopped = false;            ///< ended early: stop token, full disk or no worker left
    std::uint32_t lost_workers = 0;  ///< silent or unreachable at some time, or without a goodbye at the end
    std::string stop_reason;         ///< why it ended early; empty if it did not, or was told to
    bool out_of_time = false;        ///< the reason is that the job ends
    std::string alike_failure;       ///< how all tasks failed, if that is the reason
    std::vector<std::string> barred_workers;  ///< got no more tasks (of a kind), "rank 3 (host): reason"
    std::string store_error;                  ///< why results could not be kept; empty if they could
    std::vector<std::string> worker_errors;   ///< of workers whose executor threw, "rank 3 (host): message"
};

/// What the manager of a run needs.
struct ManagerSetup {
    std::vector<Task> tasks;   ///< in the order of `limit`; task.id is set by the manager
    PayloadSource payload_of;  ///< empty: the tasks have their payloads
    ResultSink* sink = nullptr;
    Options options;
    SetupSource setup_of;            ///< reaches the worker's ExecutorFactory; empty: an empty one does
    Transport* local = nullptr;      ///< to the worker of rank 0; null: this rank only manages
    Transport* transport = nullptr;  ///< to the other ranks; null if there are none
    // All called from the manager's thread; may be empty.
    std::function<void(const Progress&)> on_progress;
    std::function<void(const Scheduler&)> on_look;  ///< as often as on_progress, for what that does not tell
    std::function<void(Rank from, std::span<const std::byte> note)> on_note;
    PollHook poll_hook;
};

/// Runs all tasks, or as many as can be, and returns when every reachable worker has said goodbye. Setting
/// `stop` (safe in a signal handler) ends the run early: finished tasks are kept, running ones remain.
RunOutcome run_manager(ManagerSetup setup, const std::atomic<bool>& stop);

/// Sends the waiting workers home when a run ends before it has begun (a configuration error on rank 0). True
/// if all of them said goodbye.
bool dismiss_workers(Transport& transport, const Options& options);

}  // namespace memcap::sched
