// Who gets which tasks: affinity, fair shares, and what is recalled for an idle worker.
#include <algorithm>
#include <unordered_map>

#include "memcap/base/contracts.hpp"
#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

bool Scheduler::State::holds_alone(const WorkerEntry& worker) const {
    return std::any_of(worker.held.begin(), worker.held.end(),
                       [&](TaskIndex index) { return key(entry(index)).alone; });
}

/// The part of all open cost that is this worker's, by speed. Workers that have not joined yet count as
/// average ones, so that the first to come does not take everything.
double Scheduler::State::fair_cost(const WorkerEntry& worker) {
    if (!speed_is_known) {
        double present_speed = 0.0;
        std::uint32_t present = 0;
        std::uint32_t absent = 0;
        for (const auto& [rank, other] : workers) {
            present_speed += other.usable() ? other.facts.speed : 0.0;
            present += other.usable() ? 1 : 0;
            absent += other.phase == Phase::absent ? 1 : 0;
        }
        speed = present_speed * (1.0 + static_cast<double>(absent) / std::max(1U, present));
        speed_is_known = true;
    }
    const double open_cost = waiting.cost() + leased_cost;
    return speed > 0.0 ? open_cost * worker.facts.speed / speed : open_cost;
}

/// The affinity it has loaded while there is work for that, then the one with most cost for each worker on
/// it.
std::uint64_t Scheduler::State::best_affinity(const WorkerEntry& worker) const {
    const auto& queues = waiting.queues();
    MEMCAP_EXPECT(!queues.empty());
    if (worker.has_affinity && queues.contains(worker.affinity)) return worker.affinity;
    std::unordered_map<std::uint64_t, double> speeds;
    for (const auto& [rank, other] : workers) {
        if (other.usable() && other.has_affinity) speeds[other.affinity] += other.facts.speed;
    }
    std::uint64_t best = queues.begin()->first;
    double best_cost = -1.0;
    for (const auto& [affinity, queue] : queues) {
        const auto others = speeds.find(affinity);
        const double cost =
            queue.cost / ((others == speeds.end() ? 0.0 : others->second) + worker.facts.speed);
        if (cost > best_cost) {
            best = affinity;
            best_cost = cost;
        }
    }
    return best;
}

std::vector<TaskIndex> Scheduler::State::choose(WorkerEntry& worker) {
    std::vector<TaskIndex> chosen;
    if (waiting.queues().empty()) {
        const std::optional<TaskIndex> alone = waiting.first_alone();
        if (alone && worker.held.empty()) {
            waiting.remove(key(entry(*alone)));
            chosen.push_back(*alone);
        }
        return chosen;
    }
    const std::uint64_t affinity = best_affinity(worker);
    const double fair = fair_cost(worker);
    double cost = worker.held_cost;
    while (chosen.size() < worker.open_wants) {
        // A free slot may be filled up to the fair share; beyond the slots half of it is left for whoever is
        // faster.
        const double limit = chosen.size() < worker.open_slots ? fair : fair / 2;
        const bool has_nothing = worker.held.empty() && chosen.empty();
        const std::optional<TaskIndex> next = waiting.first(affinity);
        if (!next || (cost >= limit && !has_nothing)) break;
        waiting.remove(key(entry(*next)));
        cost += entry(*next).task.cost;
        chosen.push_back(*next);
    }
    return chosen;
}

void Scheduler::State::serve(Rank rank, double now_s) {
    WorkerEntry& worker = workers.at(rank);
    if (stopping || !worker.usable() || worker.open_wants == 0 || holds_alone(worker)) return;
    if (waiting.empty()) {
        if (worker.held.empty() && worker.open_slots > 0) recall_for(rank, now_s);
        return;
    }
    const std::vector<TaskIndex> chosen = choose(worker);
    if (!chosen.empty()) lease(rank, chosen, now_s);
}

void Scheduler::State::lease(Rank rank, const std::vector<TaskIndex>& chosen, double now_s) {
    WorkerEntry& worker = workers.at(rank);
    message::Lease message;
    message.id = last_lease = LeaseId{last_lease.value + 1};
    for (const TaskIndex index : chosen) {
        TaskEntry& task = entry(index);
        MEMCAP_EXPECT(task.stage == Stage::waiting);
        task.stage = Stage::leased;
        task.holder = rank;
        task.lease = message.id;
        ++task.attempts;
        --counts.waiting;
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
    worker.has_affinity = true;
    worker.unseen_leases.emplace_back(message.id, now_s);
    send(rank, std::move(message));
}

/// Those with least first: they may be idle.
void Scheduler::State::serve_hungry(double now_s) {
    std::vector<std::pair<double, Rank>> hungry;
    for (const auto& [rank, worker] : workers) {
        if (worker.usable() && worker.open_wants > 0) hungry.emplace_back(worker.held_cost, rank);
    }
    std::sort(hungry.begin(), hungry.end());
    for (const auto& [cost, rank] : hungry) serve(rank, now_s);
}

/// Asks the worker with the longest queue for half of it; one with the same model loaded comes first.
void Scheduler::State::recall_for(Rank idle, double now_s) {
    const WorkerEntry& asking = workers.at(idle);
    WorkerEntry* best = nullptr;
    Rank best_rank = 0;
    const auto rating = [&](const WorkerEntry& worker) {
        const bool same = asking.has_affinity && worker.has_affinity && worker.affinity == asking.affinity;
        return std::pair(same, worker.status.queued);
    };
    for (auto& [rank, worker] : workers) {
        if (rank == idle || worker.phase != Phase::active || worker.status.queued == 0) continue;
        if (now_s - worker.recalled_s < options.resend_s) continue;
        if (best == nullptr || rating(worker) > rating(*best)) {
            best = &worker;
            best_rank = rank;
        }
    }
    if (best == nullptr) return;
    best->recalled_s = now_s;
    send(best_rank, message::Recall{(best->status.queued + 1) / 2});
}

/// A lease that no status confirms in time was lost on the way.
void Scheduler::State::resend_unseen(Rank rank, double now_s) {
    for (auto& [id, sent_s] : workers.at(rank).unseen_leases) {
        if (now_s - sent_s < options.resend_s) continue;
        sent_s = now_s;
        message::Lease message;
        message.id = id;
        for (const TaskIndex index : workers.at(rank).held) {
            const TaskEntry& task = entry(index);
            if (task.lease == id) message.tasks.push_back({task.task, task.attempts});
        }
        if (!message.tasks.empty()) send(rank, std::move(message));
    }
}

}  // namespace memcap::sched
