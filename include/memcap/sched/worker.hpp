// The worker of a rank: talks to the manager on this thread and computes on a second one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "memcap/sched/executor.hpp"
#include "memcap/sched/message.hpp"
#include "memcap/sched/transport.hpp"

namespace memcap::sched {

/// Makes a worker's executor from the manager's setup bytes; called on the thread that then runs it.
using ExecutorFactory = std::function<std::unique_ptr<Executor>(std::span<const std::byte> setup)>;

struct WorkerOutcome {
    std::uint64_t finished = 0;        ///< tasks whose results were acknowledged
    std::uint64_t unacknowledged = 0;  ///< results that nobody confirmed: these tasks will run again
    bool manager_lost = false;         ///< leave without a word to other ranks
    std::string error;                 ///< what the executor threw; the manager knows it already
};

/// Joins the manager at rank 0 of `transport` and works until it says that the run is over. Setting `stop`
/// (safe in a signal handler) gives all tasks back and leaves early; the call still returns only when the run
/// is over. `poll_hook` may be empty.
WorkerOutcome run_worker(Transport& transport, const WorkerFacts& facts, const ExecutorFactory& make_executor,
                         const std::atomic<bool>& stop, const PollHook& poll_hook = {});

}  // namespace memcap::sched
