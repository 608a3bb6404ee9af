// What each message of a worker changes.
#include <fmt/format.h>

#include <algorithm>

#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

void Scheduler::State::on_message(Rank from, message::Join& message) {
    WorkerEntry& worker = workers.at(from);
    if (worker.phase == Phase::active) crash(from, "it was started again");
    worker.facts = std::move(message.facts);
    if (!(worker.facts.speed > 0.0)) worker.facts.speed = 1.0;
    worker.goodbye = false;
    worker.pace = worker.judged_pace = {};
    worker.unfinished = {};
    const auto barred_there = std::find_if(workers.begin(), workers.end(), [&](const auto& other) {
        return other.second.barred && !worker.facts.device_id.empty() &&
               other.second.facts.device_id == worker.facts.device_id;
    });
    if (!worker.barred && barred_there != workers.end())
        bar_one(from, barred_there->second.trouble, barred_there->second.may_return);
    worker.proving = worker.barred && worker.may_return;
    file(from);
    if (over) send(from, message::Finish{});
    if (worker.phase == Phase::lost) {
        forgive(from);
        if (stopping) change_phase(from, Phase::left);
    }
    if (stopping || over || (worker.phase != Phase::absent && worker.phase != Phase::lost)) return;
    worker.rejoining = false;
    if (worker.joined_s == 0.0) worker.joined_s = now_s;
    change_phase(from, Phase::active);
    send(from, message::Welcome{});
}

void Scheduler::State::on_message(Rank from, message::Status& message) {
    WorkerEntry& worker = workers.at(from);
    if (worker.phase != Phase::active) return;
    std::vector<TaskIndex> started;
    for (const TaskLease& told : message.started) {
        if (told.task.value >= tasks.size()) continue;
        TaskEntry& task = entry(told.task);
        worker.loaded = task.task.affinity;
        if (!is_current(from, told) || task.started) continue;
        task.started = true;
        started_s[told.task] = now_s;
        ++worker.started;
        ++counts.started;
        started.push_back(told.task);
    }
    tell(AttemptEvent::started, from, started, {});
    worker.has_asked = true;
    // An executor asks for tasks once its self-test has passed.
    if (worker.proving && message.free_slots > 0) prove(from);
    worker.lease_seen = message.lease_seen;
    const auto seen = std::find_if(worker.held.rbegin(), worker.held.rend(),
                                   [&](TaskIndex index) { return entry(index).lease <= message.lease_seen; });
    const auto unseen = static_cast<std::uint32_t>(seen - worker.held.rbegin());
    worker.open_wants = message.wanted - std::min(message.wanted, unseen);
    worker.open_slots = message.free_slots - std::min(message.free_slots, unseen);
    if (worker.held.empty()) worker.affinity = worker.loaded;
    file(from);
    serve(from);
}

void Scheduler::State::on_message(Rank from, message::Heartbeat& message) {
    workers.at(from).pace = message.pace;
    workers.at(from).unfinished = message.unfinished;
    send(from, message::Pulse{});
}

void Scheduler::State::on_message(Rank from, message::Result& message) {
    TaskResult& result = message.result;
    const TaskLease which{result.task, message.lease};
    if (result.task.value >= tasks.size()) {
        warn(fmt::format("{} sent a result of a task that does not exist; it was ignored", name(from)));
        return;
    }
    TaskEntry& task = entry(result.task);
    const bool current = is_current(from, which);
    if (task.stage == Stage::storing) {
        to_acknowledge[which.task].emplace_back(from, message.lease);
        return;
    }
    // A late failure says nothing that the newer attempt will not say; a late success is a result.
    if (task.ended() || task.stage == Stage::beyond_limit || (result.failure && !current)) {
        send(from, message::Acknowledge{{which}});
        return;
    }
    const Rank holder = task.holder;
    if (current && !result.failure) note_duration(task);
    detach(task);
    judge_alike(from, result);
    note_end(from, result.task, result.failure.has_value());
    if (result.failure) {
        on_failure(from, task, std::move(result), message.lease);
    } else {
        workers.at(from).deaths = 0;
        to_acknowledge[which.task].emplace_back(from, message.lease);
        keep(task, std::move(result));
    }
    serve(from);
    if (holder >= 0 && holder != from) serve(holder);
    // What its like takes may only be known now.
    if (left_s() < options.checkpoint_s) serve_hungry();
}

void Scheduler::State::on_message(Rank from, message::Returned& message) {
    WorkerEntry& worker = workers.at(from);
    if (worker.phase != Phase::active) return;
    worker.recalled = false;
    file(from);
    std::vector<TaskIndex> interrupted;
    for (const TaskLease& given : message.tasks) {
        if (is_current(from, given) && entry(given.task).started) interrupted.push_back(given.task);
    }
    tell(AttemptEvent::given_back, from, interrupted, {});
    for (const TaskLease& given : message.tasks) {
        if (!is_current(from, given)) continue;
        TaskEntry& task = entry(given.task);
        if (!task.started) --task.attempts;
        detach(task);
        wait(task);
    }
    serve_hungry();
}

void Scheduler::State::on_message(Rank from, message::Leave&) {
    const Phase before = workers.at(from).phase;
    if (before == Phase::left || before == Phase::failed) return;
    release_all(from, Blame::none, {});
    change_phase(from, Phase::left);
    if (!stopping) warn(fmt::format("{} leaves; its tasks go to others", name(from)));
    serve_hungry();
}

void Scheduler::State::on_message(Rank from, message::Failed& message) {
    WorkerEntry& worker = workers.at(from);
    if (worker.phase == Phase::left || worker.phase == Phase::failed) return;
    const std::string reason = fmt::format("{} failed: {}", name(from), message.reason);
    tell_trouble(reason);
    worker.trouble = message.reason;
    release_all(from, Blame::crash, reason);
    change_phase(from, Phase::failed);
    serve_hungry();
}

void Scheduler::State::on_message(Rank from, message::Crashed& message) {
    WorkerEntry& worker = workers.at(from);
    worker.goodbye = over;
    if (worker.phase == Phase::left || worker.phase == Phase::failed) return;
    crash(from, message.reason);
    serve_hungry();
}

void Scheduler::State::on_message(Rank from, message::Goodbye&) {
    WorkerEntry& worker = workers.at(from);
    worker.goodbye = true;
    if (worker.phase == Phase::left || worker.phase == Phase::failed) return;
    release_all(from, Blame::none, {});
    change_phase(from, Phase::left);
    serve_hungry();
}

}  // namespace memcap::sched
