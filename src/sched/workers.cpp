// Workers: when they are lost, crash or are barred, and how they come back.
#include <fmt/format.h>

#include <algorithm>

#include "memcap/base/contracts.hpp"
#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

Filing Scheduler::State::filing_of(const WorkerEntry& worker) const {
    Filing filing;
    filing.absent = worker.barred ? worker.may_return && (worker.phase == Phase::absent ||
                                                          (worker.phase == Phase::active && worker.proving))
                                  : worker.phase == Phase::absent;
    filing.active = worker.phase == Phase::active;
    filing.usable = worker.usable();
    filing.lost = worker.phase == Phase::lost;
    filing.busy = filing.active && !worker.held.empty();
    filing.recalled = worker.recalled;
    filing.speed = worker.facts.speed;
    filing.affinity = worker.affinity;
    if (filing.usable && worker.open_wants > 0) filing.hungry = worker.held_cost / worker.facts.speed;
    filing.idle = filing.hungry && worker.held.empty() && worker.open_slots > 0;
    if (filing.busy && !worker.recalled && !holds_alone(worker))
        filing.spare = static_cast<std::uint32_t>(worker.held.size()) - worker.started;
    return filing;
}

/// Tells the index; to be called after each change of what a Filing holds.
void Scheduler::State::file(Rank rank) {
    WorkerEntry& worker = workers.at(rank);
    const Filing now = filing_of(worker);
    if (now == worker.filed) return;
    roster.remove(rank, worker.filed);
    roster.add(rank, now);
    worker.filed = now;
}

void Scheduler::State::change_phase(Rank rank, Phase phase) {
    workers.at(rank).phase = phase;
    file(rank);
}

/// Sets all tasks of a worker free; where its started ones are to blame they get a strike.
void Scheduler::State::release_all(Rank rank, Blame blame, const std::string& reason) {
    WorkerEntry& worker = workers.at(rank);
    std::vector<TaskIndex> interrupted;
    for (const TaskIndex index : worker.held) {
        if (entry(index).started) interrupted.push_back(index);
    }
    const bool left = blame == Blame::none && reason.empty();
    const AttemptEvent event = blame == Blame::crash ? AttemptEvent::crashed
                               : left                ? AttemptEvent::given_back
                                                     : AttemptEvent::lost;
    tell(event, rank, interrupted, reason);
    for (const TaskIndex index : std::vector<TaskIndex>(worker.held)) {
        TaskEntry& task = entry(index);
        const bool guilty = blame != Blame::none && task.started;
        detach(task);
        if (guilty) {
            strike(task, rank, reason, blame);
        } else {
            wait(task);
        }
    }
    worker.open_wants = worker.open_slots = 0;
    worker.recalled = worker.rejoining = worker.has_asked = false;
    worker.lease_seen = {};
    file(rank);
}

void Scheduler::State::lose(Rank rank, const std::string& reason, Blame blame) {
    WorkerEntry& worker = workers.at(rank);
    const std::string message = fmt::format("{} is lost: {}", name(rank), reason);
    last_trouble = message;
    warn(fmt::format("{}; {} tasks go to others", message, worker.held.size()));
    worker.blamed.clear();
    for (const TaskIndex index : worker.held) {
        if (blame == Blame::silence && entry(index).started) worker.blamed.push_back(index);
    }
    worker.trouble = reason;
    release_all(rank, blame, message);
    change_phase(rank, Phase::lost);
}

/// A worker thought lost has said something else than that it joins.
void Scheduler::State::ask_back(Rank rank) {
    WorkerEntry& worker = workers.at(rank);
    if (stopping) {
        forgive(rank);
        change_phase(rank, Phase::left);
        send(rank, message::Stop{});
    } else if (!std::exchange(worker.rejoining, true)) {
        send(rank, message::Rejoin{});
    }
}

/// It did not die, so nothing it held was to blame.
void Scheduler::State::forgive(Rank rank) {
    WorkerEntry& worker = workers.at(rank);
    warn(fmt::format("{} is back", name(rank)));
    worker.trouble.clear();
    for (const TaskIndex index : std::exchange(worker.blamed, {})) {
        TaskEntry& task = entry(index);
        if (task.strikes == 0 || task.ended() || task.stage == Stage::storing) continue;
        const bool waits = task.stage == Stage::waiting;
        if (waits) detach(task);
        --task.strikes;
        std::erase(pasts[index].ranks, rank);
        if (waits) wait(task);
        if (task.stage == Stage::leased) file(task.holder);
    }
}

/// The worker's process is gone; its agent starts a new one, which has loaded nothing.
void Scheduler::State::crash(Rank rank, const std::string& reason) {
    WorkerEntry& worker = workers.at(rank);
    const std::string message = fmt::format("{} crashed: {}", name(rank), reason);
    tell_trouble(message);
    worker.trouble = reason;
    worker.blamed.clear();
    const bool tasks_fault = std::any_of(worker.held.begin(), worker.held.end(), [&](TaskIndex index) {
        return entry(index).started && has_killed_elsewhere(entry(index), rank);
    });
    release_all(rank, Blame::crash, message);
    worker.affinity = worker.loaded = std::nullopt;
    // The fresh process has not passed its self-test.
    if (std::exchange(worker.proving, false)) worker.may_return = false;
    change_phase(rank, stopping ? Phase::left : Phase::absent);
    if (!tasks_fault) count_death(rank, reason);
}

void Scheduler::State::watch_deadlines() {
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
                 Blame::silence);
            lost = true;
        } else if (drain_over && worker.phase == Phase::active) {
            lose(rank, fmt::format("it did not stop within {:.0f} s", options.drain_s), Blame::none);
        }
    }
    if (lost) serve_hungry();
}

}  // namespace memcap::sched
