// What each message of a worker changes.
#include <fmt/format.h>

#include <algorithm>

#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

void Scheduler::State::on_message(Rank from, message::Join& message, double now_s) {
    WorkerEntry& worker = workers.at(from);
    worker.facts = std::move(message.facts);
    speed_is_known = false;
    if (!(worker.facts.speed > 0.0)) worker.facts.speed = 1.0;
    if (worker.phase == Phase::absent && !stopping) change_phase(worker, Phase::active);
    if (worker.phase == Phase::active) send(from, message::Welcome{});
    serve(from, now_s);
}

void Scheduler::State::on_message(Rank from, message::Status& message, double now_s) {
    WorkerEntry& worker = workers.at(from);
    if (message.status.sequence <= worker.status.sequence) return;
    update_status(worker, message.status);
    serve(from, now_s);
}

void Scheduler::State::on_message(Rank from, message::Heartbeat& message, double now_s) {
    send(from, message::Pulse{});
    WorkerEntry& worker = workers.at(from);
    if (worker.phase != Phase::active || message.status.sequence <= worker.status.sequence) return;
    update_status(worker, message.status);
    const bool released = reconcile(from, std::move(message.held));
    if (stopping) {
        send(from, message::Stop{});
        return;
    }
    resend_unseen(from, now_s);
    if (worker.barred && worker.status.queued > 0) send(from, message::Recall{worker.status.queued});
    if (released) serve_hungry(now_s);
    serve(from, now_s);
}

void Scheduler::State::on_message(Rank from, message::Result& message, double now_s) {
    TaskResult& result = message.result;
    const TaskLease which{result.task, message.lease};
    if (result.task.value >= tasks.size()) {
        warn(fmt::format("{} sent a result of a task that does not exist; it was ignored", name(from)));
        return;
    }
    TaskEntry& task = entry(result.task);
    const bool current = task.stage == Stage::leased && task.holder == from && task.lease == message.lease;
    if (task.stage == Stage::storing) {
        to_acknowledge[which.task].emplace_back(from, message.lease);
        return;
    }
    // A late failure says nothing that the newer attempt will not say; a late success is a result.
    if (task.ended() || task.stage == Stage::beyond_limit || (result.failure && !current)) {
        send(from, message::Acknowledge{{which}});
        return;
    }
    if (task.stage == Stage::leased && !current) {
        send(task.holder, message::Withdraw{{{task.task.id, task.lease}}});
    }
    detach(task);
    const std::optional<TaskFailure> failure = result.failure;
    const bool again =
        failure && failure->category != FailureCategory::permanent && task.strikes + 1 < options.max_strikes;
    if (failure) troubles[which.task] = failure->message;
    if (again) {
        ++task.strikes;
        task.closed = message.lease;
        wait(task);
        send(from, message::Acknowledge{{which}});
    } else {
        to_acknowledge[which.task].emplace_back(from, message.lease);
        keep(task, std::move(result));
    }
    if (failure && failure->category == FailureCategory::device_lost) bar(from, failure->message);
    if (again) serve_hungry(now_s);
    serve(from, now_s);
}

void Scheduler::State::on_message(Rank from, message::Returned& message, double now_s) {
    WorkerEntry& worker = workers.at(from);
    worker.recalled_s = -std::numeric_limits<double>::infinity();
    bool released = false;
    for (const TaskLease& given : message.tasks) {
        if (given.task.value >= tasks.size()) continue;
        TaskEntry& task = entry(given.task);
        if (task.stage != Stage::leased || task.holder != from || task.lease != given.lease) continue;
        detach(task);
        --task.attempts;  // it was never started
        task.closed = given.lease;
        wait(task);
        released = true;
    }
    // The rest has been started meanwhile: asking again before the next status would bring nothing.
    worker.status.queued = 0;
    if (released) serve_hungry(now_s);
}

void Scheduler::State::on_message(Rank from, message::Leave&, double now_s) {
    WorkerEntry& worker = workers.at(from);
    if (worker.phase != Phase::active && worker.phase != Phase::absent) return;
    release_all(from, {}, {});
    change_phase(worker, Phase::left);
    if (!stopping) warn(fmt::format("{} leaves; its tasks go to others", name(from)));
    serve_hungry(now_s);
}

void Scheduler::State::on_message(Rank from, message::Failed& message, double now_s) {
    WorkerEntry& worker = workers.at(from);
    if (worker.phase != Phase::active && worker.phase != Phase::absent) return;
    const std::string reason = fmt::format("{} failed: {}", name(from), message.reason);
    std::vector<TaskIndex> blamed;
    for (const TaskLease& running : message.running) {
        if (running.task.value >= tasks.size()) continue;
        const TaskEntry& task = entry(running.task);
        if (task.stage == Stage::leased && task.holder == from && task.lease == running.lease) {
            blamed.push_back(running.task);
        }
    }
    warn(reason);
    release_all(from, blamed, reason);
    change_phase(worker, Phase::failed);
    worker.trouble = message.reason;
    serve_hungry(now_s);
}

void Scheduler::State::on_message(Rank from, message::Crashed& message, double now_s) {
    WorkerEntry& worker = workers.at(from);
    if (worker.phase != Phase::active && worker.phase != Phase::absent) return;
    const std::string reason = fmt::format("{} crashed: {}", name(from), message.reason);
    warn(reason);
    release_all(from, possibly_started(worker), reason);
    // Its agent starts a new one, which has loaded nothing.
    const WorkerFacts facts = worker.facts;
    worker = WorkerEntry{};
    worker.facts = facts;
    worker.heard_s = now_s;
    worker.phase = stopping ? Phase::left : Phase::absent;
    worker.trouble = message.reason;
    speed_is_known = false;
    serve_hungry(now_s);
}

void Scheduler::State::on_message(Rank from, message::Goodbye&, double now_s) {
    WorkerEntry& worker = workers.at(from);
    worker.goodbye = true;
    if (worker.phase != Phase::active && worker.phase != Phase::absent) return;
    release_all(from, {}, {});
    change_phase(worker, Phase::left);
    serve_hungry(now_s);
}

}  // namespace memcap::sched
