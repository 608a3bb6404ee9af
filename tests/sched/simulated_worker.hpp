// One rank of a simulated run: a process that computes in simulated time and may die.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "memcap/sched/worker_state.hpp"

namespace memcap::sched::testing {

struct SimulatedWorker {
    std::unique_ptr<WorkerState> state;  ///< null while there is no process
    WorkerFacts facts;
    std::size_t slots = 1;
    std::uint64_t life = 0;  ///< grows with each process
    bool gone = false;       ///< the whole rank is
    double stalled_until_s = -1.0;
    double device_lost_s = 1e18;
    double throws_s = 1e18;
    std::set<std::uint64_t> blind;  ///< affinities that it cannot run
    bool returned = false;          ///< the executor is gone
    bool was_lost = false;          ///< the scheduler has thought so at some time
    std::map<std::uint32_t, LeasedTask> running;

    void start(double now_s) {
        ++life;
        state = std::make_unique<WorkerState>(facts, now_s);
        returned = false;
        stalled_until_s = -1.0;
    }
    void die() {
        state.reset();
        running.clear();
    }
    /// Ends the executor if it is time for that; true if there is none to run tasks.
    bool executor_gone(double now_s) {
        if (!state->welcomed() && !state->closed()) return true;
        if (returned) return true;
        if (state->welcomed() && now_s >= throws_s) {
            state->executor_threw("bad kernel");
        } else if (state->closed()) {
            state->executor_returned();
        } else {
            return false;
        }
        returned = true;
        running.clear();
        return true;
    }
    /// Starts what fits; returns it.
    std::vector<LeasedTask> take(double now_s) {
        if (running.size() >= slots) return {};
        std::vector<LeasedTask> taken = state->take(slots - running.size(), now_s);
        for (const LeasedTask& task : taken) running.emplace(task.task.id.value, task);
        return taken;
    }
};

}  // namespace memcap::sched::testing
