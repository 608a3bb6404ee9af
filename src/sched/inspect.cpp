// Looking into the scheduler: the check of all its invariants, and explanations for people.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "memcap/base/contracts.hpp"
#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

namespace {

using State = Scheduler::State;

bool close(double a, double b) {
    return std::abs(a - b) <= 1e-6 * std::max({1.0, std::abs(a), std::abs(b)});
}

void check_task(const State& state, const TaskEntry& task) {
    const bool queued = state.waiting.contains(state.key(task));
    MEMCAP_ENSURE(queued == (task.stage == Stage::waiting));
    MEMCAP_ENSURE((task.holder >= 0) == (task.stage == Stage::leased));
    MEMCAP_ENSURE(!task.started || task.stage == Stage::leased);
    MEMCAP_ENSURE(task.strikes <= state.options.max_strikes);
    MEMCAP_ENSURE(task.stage == Stage::storing || !state.to_acknowledge.contains(task.task.id));
    MEMCAP_ENSURE(task.lease <= state.last_lease);
    // Only stored failures, and those that could not be stored, have all their strikes.
    const bool struck_out = task.strikes == state.options.max_strikes;
    MEMCAP_ENSURE(!struck_out || task.stage == Stage::storing || task.stage == Stage::failed ||
                  state.stopping);
    if (task.stage != Stage::leased) return;
    const auto holder = state.workers.find(task.holder);
    MEMCAP_ENSURE(holder != state.workers.end());
    const auto& held = holder->second.held;
    MEMCAP_ENSURE(std::count(held.begin(), held.end(), task.task.id) == 1);
    MEMCAP_ENSURE(task.lease.value > 0 && task.attempts > 0);
}

void check_worker(const State& state, Rank rank, const WorkerEntry& worker) {
    MEMCAP_ENSURE(worker.phase == Phase::active || worker.held.empty());
    double cost = 0.0;
    std::uint32_t started = 0;
    LeaseId before;
    for (const TaskIndex index : worker.held) {
        const TaskEntry& task = state.entry(index);
        MEMCAP_ENSURE(task.stage == Stage::leased && task.holder == rank);
        MEMCAP_ENSURE(task.lease >= before);
        before = task.lease;
        cost += task.task.cost;
        started += task.started ? 1 : 0;
        // What must be alone is.
        MEMCAP_ENSURE(!state.key(task).alone || worker.held.size() == 1);
    }
    MEMCAP_ENSURE(close(cost, worker.held_cost));
    MEMCAP_ENSURE(started == worker.started);
    MEMCAP_ENSURE(worker.filed == state.filing_of(worker));
    // Nobody is idle while there is a task to be had.
    MEMCAP_ENSURE(!worker.filed.idle || state.stopping || state.choose(rank).empty());
    MEMCAP_ENSURE(!worker.goodbye || worker.phase != Phase::active);
}

void check_counts(const State& state) {
    Counts counted;
    WorkerIndex index;
    for (const auto& [rank, worker] : state.workers) index.add(rank, worker.filed);
    MEMCAP_ENSURE(index.usable() == state.roster.usable() && index.absent() == state.roster.absent());
    MEMCAP_ENSURE(index.active() == state.roster.active() && index.busy() == state.roster.busy());
    MEMCAP_ENSURE(index.idle() == state.roster.idle() && index.recalled() == state.roster.recalled());
    MEMCAP_ENSURE(index.hungry() == state.roster.hungry() && index.spare() == state.roster.spare());
    MEMCAP_ENSURE(close(index.speed(), state.roster.speed()));
    double waiting_cost = 0.0;
    for (const TaskEntry& task : state.tasks) {
        counted.waiting += task.stage == Stage::waiting ? 1 : 0;
        counted.leased += task.stage == Stage::leased ? 1 : 0;
        counted.started += task.started ? 1 : 0;
        counted.storing += task.stage == Stage::storing ? 1 : 0;
        counted.done += task.stage == Stage::done ? 1 : 0;
        counted.failed += task.stage == Stage::failed ? 1 : 0;
        counted.beyond_limit += task.stage == Stage::beyond_limit ? 1 : 0;
        if (task.stage == Stage::waiting) waiting_cost += task.task.cost;
    }
    const Counts& kept = state.counts;
    MEMCAP_ENSURE(kept.waiting == counted.waiting && kept.waiting == state.waiting.size());
    MEMCAP_ENSURE(kept.leased == counted.leased && kept.started == counted.started);
    MEMCAP_ENSURE(kept.storing == counted.storing);
    MEMCAP_ENSURE(kept.done == counted.done);
    MEMCAP_ENSURE(kept.failed == counted.failed);
    MEMCAP_ENSURE(kept.beyond_limit == counted.beyond_limit);
    MEMCAP_ENSURE(kept.total + kept.beyond_limit == state.tasks.size());
    MEMCAP_ENSURE(close(waiting_cost, state.waiting.cost()));
    const bool all_ended = kept.waiting + kept.leased + kept.storing == 0;
    MEMCAP_ENSURE(state.over || !all_ended);
    MEMCAP_ENSURE(!state.over || all_ended || state.stopping);
}

std::string idle_reason(const State& state, const WorkerEntry& worker) {
    if (state.over) return "the run is over";
    if (state.stopping) return "the run is stopping and hands out no more work";
    if (!worker.has_asked) return "it has not said yet that it wants work";
    if (!worker.barred_from.empty() && !state.best_affinity(worker))
        return fmt::format("it cannot run what waits: {}", worker.barred_from.begin()->second);
    if (worker.open_wants == 0) return "it has not asked for more";
    if (state.waiting.empty()) return "no task waits: all are running, stored or queued at other workers";
    if (state.waiting.sharing().empty()) {
        return "the tasks that wait have failed before and each needs a worker that holds nothing else";
    }
    return fmt::format("it holds its fair share: a cost of {:.3g} of {:.3g}", worker.held_cost,
                       state.fair_cost(worker));
}

WorkerActivity activity_of(const WorkerEntry& worker) {
    switch (worker.phase) {
        case Phase::absent:
            return worker.barred ? WorkerActivity::barred : WorkerActivity::starting;
        case Phase::left:
            return WorkerActivity::left;
        case Phase::failed:
            return WorkerActivity::failed;
        case Phase::lost:
            return WorkerActivity::lost;
        case Phase::active:
            break;
    }
    if (worker.barred) return WorkerActivity::barred;
    return worker.started > 0 ? WorkerActivity::working : WorkerActivity::idle;
}

/// Why a worker computes nothing, or less than it could; empty if there is no more to ask for.
std::string why_not_busy(const State& state, const WorkerEntry& worker) {
    const bool is_full = worker.started > 0 && worker.open_slots == 0;
    if (is_full) return "";
    if (worker.phase == Phase::left) return "it has left";
    if (worker.barred || worker.phase == Phase::failed || worker.phase == Phase::lost) return worker.trouble;
    if (worker.phase == Phase::absent)
        return worker.trouble.empty() ? "it has not joined yet" : "it is started again: " + worker.trouble;
    if (worker.started == 0 && !worker.held.empty())
        return fmt::format("it has been given {} tasks and gets ready to start them", worker.held.size());
    return idle_reason(state, worker);
}

}  // namespace

std::string_view to_string(WorkerActivity value) {
    switch (value) {
        case WorkerActivity::starting:
            return "starting";
        case WorkerActivity::working:
            return "working";
        case WorkerActivity::idle:
            return "idle";
        case WorkerActivity::barred:
            return "barred";
        case WorkerActivity::lost:
            return "lost";
        case WorkerActivity::failed:
            return "failed";
        case WorkerActivity::left:
            return "left";
    }
    return "unknown";
}

std::vector<WorkerView> Scheduler::workers() const {
    const State& state = *state_;
    std::vector<WorkerView> views;
    views.reserve(state.workers.size());
    for (const auto& [rank, worker] : state.workers) {
        const double ended = static_cast<double>(worker.done + worker.failures);
        const double worked_s = std::max(1.0, worker.ended_s - worker.joined_s);
        WorkerView view;
        view.rank = rank;
        view.host = worker.facts.host;
        view.device = worker.facts.device;
        view.activity = activity_of(worker);
        view.done = worker.done;
        view.failed = worker.failures;
        view.running = worker.started;
        view.queued = static_cast<std::uint32_t>(worker.held.size()) - worker.started;
        view.free_slots = worker.open_slots;
        view.tasks_per_s = ended > 0 ? ended / worked_s : 0.0;
        view.silent_s = std::max(0.0, state.now_s - worker.heard_s);
        if (worker.deed) {
            view.deed = worker.deed->what;
            view.deed_task = state.entry(worker.deed->task).task.key;
            view.since_deed_s = state.now_s - worker.deed->at_s;
        }
        view.why = why_not_busy(state, worker);
        views.push_back(std::move(view));
    }
    return views;
}

void Scheduler::check() const {
    for (const TaskEntry& task : state_->tasks) check_task(*state_, task);
    for (const auto& [rank, worker] : state_->workers) check_worker(*state_, rank, worker);
    check_counts(*state_);
}

std::string Scheduler::explain_worker(Rank rank, double now_s) const {
    const auto found = state_->workers.find(rank);
    if (found == state_->workers.end()) return fmt::format("rank {} is not part of this run", rank);
    const WorkerEntry& worker = found->second;
    const std::string name = state_->name(rank);
    const double silent_s = now_s - worker.heard_s;
    switch (worker.phase) {
        case Phase::absent:
            if (worker.barred) break;
            return fmt::format("{} has not joined yet ({:.0f} s since the start)", name, silent_s);
        case Phase::left:
            return fmt::format("{} has left and takes no more tasks", name);
        case Phase::failed:
            return fmt::format("{} has failed: {}", name, worker.trouble);
        case Phase::lost:
            return fmt::format("{} is lost: {}", name, worker.trouble);
        case Phase::active:
            break;
    }
    if (worker.barred) {
        return fmt::format("{} gets no more work{}: {}", name,
                           worker.may_return ? " until a fresh process passes its self-test" : "",
                           worker.trouble);
    }
    return fmt::format(
        "{} holds {} tasks, {} of them started, and asks for {} more; it gets none now because {}; last "
        "heard {:.1f} s ago",
        name, worker.held.size(), worker.started, worker.open_wants, idle_reason(*state_, worker), silent_s);
}

std::string Scheduler::explain_task(TaskIndex index) const {
    if (index.value >= state_->tasks.size()) return fmt::format("there is no task {}", index.value);
    const TaskEntry& task = state_->entry(index);
    const std::string name = state_->name(task);
    std::string past;
    if (const auto trouble = state_->pasts.find(index); trouble != state_->pasts.end()) {
        past = fmt::format("; attempt {}, strike {} of {}: {}", task.attempts, task.strikes,
                           state_->options.max_strikes, trouble->second.trouble);
    }
    switch (task.stage) {
        case Stage::beyond_limit:
            return fmt::format("{} lies beyond the limit of this run", name);
        case Stage::leased:
            return fmt::format("{} is with {}{}", name, state_->name(task.holder), past);
        case Stage::storing:
            return fmt::format("{} has a result that is being stored", name);
        case Stage::done:
            return fmt::format("{} is done", name);
        case Stage::failed:
            return fmt::format("{} has failed for good{}", name, past);
        case Stage::waiting:
            break;
    }
    if (state_->stopping)
        return fmt::format("{} waits for the next start: this run is stopping{}", name, past);
    if (state_->key(task).alone) {
        return fmt::format("{} waits for a worker that holds nothing else{}", name, past);
    }
    return fmt::format("{} waits: {} tasks share its affinity, dear ones go first{}", name,
                       state_->waiting.sharing().at(task.task.affinity).tasks.size(), past);
}

}  // namespace memcap::sched
