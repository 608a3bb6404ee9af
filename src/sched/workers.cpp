// Workers: what they say they hold, when they are lost, and how they come back.
#include <fmt/format.h>

#include <algorithm>

#include "memcap/base/contracts.hpp"
#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

void Scheduler::State::change_phase(WorkerEntry& worker, Phase phase) {
    worker.phase = phase;
    speed_is_known = false;
}

void Scheduler::State::update_status(WorkerEntry& worker, const WorkerStatus& status) {
    worker.status = status;
    std::erase_if(worker.unseen_leases, [&](const auto& lease) { return lease.first <= status.lease_seen; });
    const auto unseen = static_cast<std::uint32_t>(
        std::count_if(worker.held.begin(), worker.held.end(),
                      [&](TaskIndex index) { return entry(index).lease > status.lease_seen; }));
    worker.open_wants = status.wanted - std::min(status.wanted, unseen);
    worker.open_slots = status.free_slots - std::min(status.free_slots, unseen);
    if (worker.held.empty() && status.has_affinity) {
        worker.affinity = status.affinity;
        worker.has_affinity = true;
    }
}

/// Makes the manager's view agree with the worker's: what a worker that has seen the lease does not hold was
/// lost on the way, and what it holds without a lease is taken on or withdrawn. True if tasks were set free.
bool Scheduler::State::reconcile(Rank rank, std::vector<TaskLease> held) {
    std::sort(held.begin(), held.end());
    const LeaseId seen = workers.at(rank).status.lease_seen;
    bool released = false;
    for (const TaskIndex index : std::vector<TaskIndex>(workers.at(rank).held)) {
        TaskEntry& task = entry(index);
        const bool there = std::binary_search(held.begin(), held.end(), TaskLease{index, task.lease});
        if (task.lease > seen || there) continue;
        detach(task);
        --task.attempts;  // it was never started
        task.closed = task.lease;
        troubles[index] = "a message was lost on the way";
        wait(task);
        released = true;
    }
    message::Withdraw withdraw;
    for (const TaskLease& claimed : held) {
        if (claimed.task.value >= tasks.size()) continue;
        TaskEntry& task = entry(claimed.task);
        if (task.stage == Stage::waiting && claimed.lease > task.closed) {
            adopt(rank, task, claimed.lease);
        } else if (task.stage == Stage::leased && task.holder == rank && task.lease == claimed.lease) {
            continue;
        } else if (task.stage != Stage::storing) {
            withdraw.tasks.push_back(claimed);
        }
    }
    if (!withdraw.tasks.empty()) send(rank, std::move(withdraw));
    return released;
}

/// A worker that was thought lost still works on a task that waits: its old lease holds again.
void Scheduler::State::adopt(Rank rank, TaskEntry& task, LeaseId lease) {
    detach(task);
    task.stage = Stage::leased;
    task.holder = rank;
    task.lease = lease;
    ++counts.leased;
    WorkerEntry& worker = workers.at(rank);
    const auto later = std::find_if(worker.held.begin(), worker.held.end(),
                                    [&](TaskIndex index) { return entry(index).lease > lease; });
    worker.held.insert(later, task.task.id);
    worker.held_cost += task.task.cost;
    leased_cost += task.task.cost;
}

/// Tasks that a worker may have been running: all but those it last reported as queued, which are the newest
/// of the leases it had seen. A lease it has not confirmed may have killed it at once, so it counts.
std::vector<TaskIndex> Scheduler::State::possibly_started(const WorkerEntry& worker) const {
    const auto unseen = std::partition_point(worker.held.begin(), worker.held.end(), [&](TaskIndex index) {
        return entry(index).lease <= worker.status.lease_seen;
    });
    std::vector<TaskIndex> result(worker.held.begin(),
                                  worker.held.begin() + static_cast<std::ptrdiff_t>(surely_started(worker)));
    result.insert(result.end(), unseen, worker.held.end());
    return result;
}

std::size_t Scheduler::State::surely_started(const WorkerEntry& worker) const {
    const auto unseen =
        static_cast<std::size_t>(std::count_if(worker.held.begin(), worker.held.end(), [&](TaskIndex index) {
            return entry(index).lease > worker.status.lease_seen;
        }));
    const std::size_t seen = worker.held.size() - unseen;
    return seen - std::min<std::size_t>(seen, worker.status.queued);
}

/// Sets all tasks of a worker free; the blamed ones get a strike.
void Scheduler::State::release_all(Rank rank, const std::vector<TaskIndex>& blamed,
                                   const std::string& reason) {
    WorkerEntry& worker = workers.at(rank);
    for (const TaskIndex index : std::vector<TaskIndex>(worker.held)) {
        TaskEntry& task = entry(index);
        detach(task);
        if (std::find(blamed.begin(), blamed.end(), index) != blamed.end()) {
            strike(task, reason);
        } else {
            wait(task);
        }
    }
    worker.unseen_leases.clear();
    worker.open_wants = worker.open_slots = 0;
    worker.status.queued = 0;
}

void Scheduler::State::lose(Rank rank, const std::string& reason, Blame blame) {
    WorkerEntry& worker = workers.at(rank);
    worker.blamed = blame == Blame::started ? possibly_started(worker) : std::vector<TaskIndex>{};
    const std::string message = fmt::format("{} is lost: {}", name(rank), reason);
    warn(fmt::format("{}; {} tasks go to others", message, worker.held.size()));
    release_all(rank, worker.blamed, message);
    change_phase(worker, Phase::lost);
    worker.trouble = reason;
}

/// It did not die, so nothing it held was to blame.
void Scheduler::State::welcome_back(Rank rank, double now_s) {
    WorkerEntry& worker = workers.at(rank);
    change_phase(worker, stopping ? Phase::left : Phase::active);
    worker.trouble.clear();
    for (const TaskIndex index : std::exchange(worker.blamed, {})) {
        TaskEntry& task = entry(index);
        if (task.strikes == 0 || task.ended() || task.stage == Stage::storing) continue;
        const bool waits = task.stage == Stage::waiting;
        if (waits) detach(task);
        --task.strikes;
        if (waits) wait(task);
    }
    warn(fmt::format("{} is back", name(rank)));
    serve_hungry(now_s);
}

void Scheduler::State::bar(Rank rank, const std::string& reason) {
    WorkerEntry& worker = workers.at(rank);
    if (worker.barred) return;
    worker.barred = true;
    speed_is_known = false;
    worker.trouble = reason;
    warn(fmt::format("{} gets no more work, its device is lost: {}", name(rank), reason));
    send(rank, message::Recall{std::numeric_limits<std::uint32_t>::max()});
}

void Scheduler::State::watch_deadlines(double now_s) {
    // While the manager itself was away (a slow disk, a stopped process) nobody could be heard.
    const double away_s = now_s - ticked_s;
    ticked_s = now_s;
    if (away_s > options.worker_deadline_s / 4) {
        for (auto& [rank, worker] : workers) worker.heard_s += away_s;
    }
    const bool drain_over = stopping && now_s - stopped_s > options.drain_s;
    bool lost = false;
    for (auto& [rank, worker] : workers) {
        if (worker.phase == Phase::lost || worker.goodbye) continue;
        const double silent_s = now_s - worker.heard_s;
        if (silent_s > options.worker_deadline_s) {
            const bool never = worker.phase == Phase::absent;
            lose(rank,
                 never ? fmt::format("it has not joined within {:.0f} s", silent_s)
                       : fmt::format("it has been silent for {:.0f} s", silent_s),
                 Blame::started);
            lost = true;
        } else if (drain_over && worker.phase == Phase::active) {
            lose(rank, fmt::format("it did not stop within {:.0f} s", options.drain_s), Blame::none);
        }
    }
    if (lost) serve_hungry(now_s);
}

}  // namespace memcap::sched
