// Who gets which tasks: affinity, fair shares, and what is recalled for an idle worker.
#include <algorithm>

#include "memcap/base/contracts.hpp"
#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

bool Scheduler::State::holds_alone(const WorkerEntry& worker) const {
    return worker.held.size() == 1 && key(entry(worker.held.front())).alone;
}

/// All open cost over the speed of all workers. Those that have not joined yet count as average ones, so that
/// the first to come does not take everything.
double Scheduler::State::fair_seconds() const {
    const double absent = roster.absent();
    const double speed = roster.speed() * (1.0 + absent / std::max(1U, roster.usable()));
    return (waiting.cost() + leased_cost) / speed;
}

/// The part of all open cost that is this worker's, by speed.
double Scheduler::State::fair_cost(const WorkerEntry& worker) const {
    return fair_seconds() * worker.facts.speed;
}

/// The affinity it has loaded while there is work for that, then the one with most cost for each worker on
/// it; none if no task that it can run may share a worker.
std::optional<std::uint64_t> Scheduler::State::best_affinity(const WorkerEntry& worker) const {
    const auto& queues = waiting.sharing();
    if (worker.affinity && can_run(worker, *worker.affinity) && queues.contains(*worker.affinity))
        return worker.affinity;
    std::optional<std::uint64_t> best;
    double best_cost = -1.0;
    for (const auto& [affinity, queue] : queues) {
        const double cost = queue.cost / (roster.speed(affinity) + worker.facts.speed);
        if (cost > best_cost && can_run(worker, affinity)) {
            best = affinity;
            best_cost = cost;
        }
    }
    return best;
}

/// Tasks for this worker, still waiting.
std::vector<TaskIndex> Scheduler::State::choose(Rank rank) const {
    const WorkerEntry& worker = workers.at(rank);
    const std::optional<std::uint64_t> affinity = best_affinity(worker);
    if (!affinity) {
        const std::optional<TaskIndex> alone = worker.held.empty() ? choose_alone(rank) : std::nullopt;
        return alone ? std::vector{*alone} : std::vector<TaskIndex>{};
    }
    const auto& queue = waiting.sharing().at(*affinity);
    std::vector<TaskIndex> chosen;
    // In the last minute nothing is handed out that would not start at once.
    const std::uint32_t most =
        last_minute ? std::min(worker.open_slots, worker.open_wants) : worker.open_wants;
    const double fair = fair_cost(worker);
    double cost = worker.held_cost;
    for (const auto& place : queue.tasks) {
        // A free slot may be filled up to the fair share; beyond the slots half of it is left for whoever is
        // faster.
        const double limit = chosen.size() < worker.open_slots ? fair : fair / 2;
        const bool has_nothing = worker.held.empty() && chosen.empty();
        if (chosen.size() == most || (cost >= limit && !has_nothing)) break;
        chosen.push_back(TaskIndex{std::get<2>(place)});
        cost += entry(chosen.back()).task.cost;
    }
    return chosen;
}

std::optional<TaskIndex> Scheduler::State::choose_alone(Rank rank) const {
    const WorkerEntry& worker = workers.at(rank);
    std::optional<TaskIndex> best;
    for (const auto& [affinity, queue] : waiting.alone()) {
        const bool loaded = affinity == worker.affinity;
        if (!can_run(worker, affinity) || (best && !loaded)) continue;
        for (const auto& place : queue.tasks) {
            const TaskIndex index{std::get<2>(place)};
            if (avoids(entry(index), rank)) continue;
            best = index;
            break;
        }
    }
    return best;
}

void Scheduler::State::serve(Rank rank) {
    const WorkerEntry& worker = workers.at(rank);
    if (stopping || !worker.usable() || worker.open_wants == 0 || holds_alone(worker)) return;
    const std::vector<TaskIndex> chosen = choose(rank);
    if (!chosen.empty()) {
        lease(rank, chosen);
    } else if (worker.filed.idle) {
        recall_for(rank);
    }
}

void Scheduler::State::lease(Rank rank, const std::vector<TaskIndex>& chosen) {
    WorkerEntry& worker = workers.at(rank);
    message::Lease message;
    message.id = last_lease = LeaseId{last_lease.value + 1};
    for (const TaskIndex index : chosen) {
        TaskEntry& task = entry(index);
        detach(task);
        task.stage = Stage::leased;
        task.holder = rank;
        task.lease = message.id;
        ++task.attempts;
        ++counts.leased;
        worker.held.push_back(index);
        worker.held_cost += task.task.cost;
        leased_cost += task.task.cost;
        message.tasks.push_back({task.task, task.attempts});
    }
    const auto sent = static_cast<std::uint32_t>(chosen.size());
    worker.open_wants -= std::min(worker.open_wants, sent);
    worker.open_slots -= std::min(worker.open_slots, sent);
    worker.affinity = entry(chosen.back()).task.affinity;
    file(rank);
    send(rank, std::move(message));
}

/// Those with least first, for their speed: they may be idle. Stops where nobody behind can get anything.
void Scheduler::State::serve_hungry() {
    std::optional<std::pair<double, Rank>> last;
    while (!stopping) {
        const auto& hungry = roster.hungry();
        const auto next = last ? hungry.upper_bound(*last) : hungry.begin();
        if (next == hungry.end()) return;
        last = *next;
        const bool has_nothing = last->first == 0.0;
        // Serving may move a worker back in this order, and so be tried again: each time less waits.
        if (waiting.empty() && (!has_nothing || roster.recalled() >= roster.idle() || roster.spare().empty()))
            return;
        if (!has_nothing && (waiting.sharing().empty() || last->first >= fair_seconds())) return;
        serve(last->second);
    }
}

/// Asks the worker with the longest queue for half of it; one with the same model loaded comes first. There
/// are never more recalls on their way than idle workers.
void Scheduler::State::recall_for(Rank idle) {
    if (roster.recalled() >= roster.idle() || roster.spare().empty()) return;
    const WorkerEntry& asking = workers.at(idle);
    const auto& spare = roster.spare();
    auto best = spare.end();
    for (auto next = spare.begin(); next != spare.end(); ++next) {
        // What it cannot run would only go back.
        if (next->first && !can_run(asking, *next->first)) continue;
        const bool loaded = next->first == asking.affinity;
        if (loaded || best == spare.end() || *next->second.rbegin() > *best->second.rbegin()) best = next;
        if (loaded) break;
    }
    if (best == spare.end()) return;
    const auto [count, rank] = *best->second.rbegin();
    workers.at(rank).recalled = true;
    file(rank);
    send(rank, message::Recall{(count + 1) / 2});
}

}  // namespace memcap::sched
