// The scheduler's events, and how a task moves from waiting to its end.
#include "memcap/sched/scheduler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "memcap/base/contracts.hpp"
#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

Scheduler::Scheduler(std::vector<Task> tasks, const std::vector<Rank>& ranks, const Options& options,
                     double now_s)
    : state_(std::make_unique<State>()) {
    State& state = *state_;
    state.options = options;
    state.started_s = state.ticked_s = now_s;
    state.tasks.reserve(tasks.size());
    for (Task& task : tasks) {
        TaskEntry entry;
        entry.task = std::move(task);
        entry.task.id = TaskIndex{static_cast<std::uint32_t>(state.tasks.size())};
        if (!std::isfinite(entry.task.cost) || entry.task.cost <= 0.0) entry.task.cost = 1.0;
        state.tasks.push_back(std::move(entry));
    }
    // Millions of tasks must not be in memory twice while the queues are filled.
    std::vector<Task>().swap(tasks);
    for (TaskEntry& entry : state.tasks) {
        if (options.limit && entry.task.id.value >= *options.limit) {
            entry.stage = Stage::beyond_limit;
            ++state.counts.beyond_limit;
        } else {
            ++state.counts.total;
            state.counts.cost += entry.task.cost;
            state.wait(entry);
        }
    }
    for (const Rank rank : ranks) state.workers[rank].heard_s = now_s;
    state.settle(now_s);
}

Scheduler::~Scheduler() = default;
Scheduler::Scheduler(Scheduler&&) noexcept = default;
Scheduler& Scheduler::operator=(Scheduler&&) noexcept = default;

std::vector<Action> Scheduler::handle(Event event, double now_s) {
    std::visit([&](auto& specific) { state_->on(specific, now_s); }, event);
    state_->settle(now_s);
    return std::exchange(state_->out, {});
}

const Task& Scheduler::task(TaskIndex index) const {
    MEMCAP_EXPECT(index.value < state_->tasks.size());
    return state_->entry(index).task;
}

bool Scheduler::holds(Rank rank, const TaskLease& lease) const {
    if (lease.task.value >= state_->tasks.size()) return false;
    const TaskEntry& task = state_->entry(lease.task);
    return task.stage == Stage::leased && task.holder == rank && task.lease == lease.lease;
}

Counts Scheduler::counts() const {
    Counts counts = state_->counts;
    for (const auto& [rank, worker] : state_->workers) {
        counts.started += state_->surely_started(worker);
        counts.workers += worker.usable() ? 1 : 0;
        counts.lost_workers += worker.phase == Phase::lost ? 1 : 0;
    }
    return counts;
}

bool Scheduler::over() const {
    return state_->over;
}
bool Scheduler::stopping() const {
    return state_->stopping;
}

std::vector<Rank> Scheduler::missing_goodbyes() const {
    std::vector<Rank> missing;
    if (!state_->over) return missing;
    for (const auto& [rank, worker] : state_->workers) {
        if (!worker.goodbye && worker.phase != Phase::lost) missing.push_back(rank);
    }
    return missing;
}

std::vector<Rank> Scheduler::lost_workers() const {
    std::vector<Rank> lost;
    for (const auto& [rank, worker] : state_->workers) {
        if (worker.phase == Phase::lost) lost.push_back(rank);
    }
    return lost;
}

void Scheduler::State::on(event::Received& event, double now_s) {
    const bool was_over = over;
    WorkerEntry& worker = workers[event.from];
    worker.heard_s = now_s;
    if (worker.phase == Phase::lost) welcome_back(event.from, now_s);
    const auto handle_message = [&](auto& message) {
        if constexpr (requires { on_message(event.from, message, now_s); }) {
            on_message(event.from, message, now_s);
        } else {
            warn(fmt::format("{} sent a message that only the manager sends; it was ignored",
                             name(event.from)));
        }
    };
    std::visit(handle_message, event.message);
    if (was_over && !worker.goodbye) send(event.from, message::Finish{});
}

void Scheduler::State::on(event::PeerLost& event, double now_s) {
    if (workers[event.rank].phase == Phase::lost) return;
    lose(event.rank, event.reason, Blame::started);
    serve_hungry(now_s);
}

void Scheduler::State::on(event::Tick&, double now_s) {
    watch_deadlines(now_s);
    if (!waiting.empty()) serve_hungry(now_s);
}

void Scheduler::State::on(event::StopRequested&, double now_s) {
    begin_stop(now_s, {});
}

void Scheduler::State::on(event::Stored& event, double) {
    std::map<Rank, std::vector<TaskLease>> safe;
    for (const TaskIndex index : event.tasks) {
        TaskEntry& task = entry(index);
        MEMCAP_EXPECT(task.stage == Stage::storing);
        task.stage = task.result_is_failure ? Stage::failed : Stage::done;
        --counts.storing;
        ++(task.result_is_failure ? counts.failed : counts.done);
        counts.ended_cost += task.task.cost;
        for (const auto& [rank, lease] : to_acknowledge[index]) safe[rank].push_back({index, lease});
        to_acknowledge.erase(index);
        // A long run must not keep the payloads of what is over; the name and the cost stay.
        Bytes().swap(task.task.payload);
    }
    for (auto& [rank, leases] : safe) send(rank, message::Acknowledge{std::move(leases)});
}

void Scheduler::State::on(event::StoreFailed& event, double now_s) {
    for (const TaskIndex index : event.tasks) {
        TaskEntry& task = entry(index);
        MEMCAP_EXPECT(task.stage == Stage::storing);
        --counts.storing;
        to_acknowledge.erase(index);
        troubles[index] = event.reason;
        wait(task);
    }
    begin_stop(now_s, fmt::format("results cannot be kept: {}", event.reason));
}

WaitingKey Scheduler::State::key(const TaskEntry& entry) const {
    const bool alone = entry.strikes > 0 && entry.strikes + 1 == options.max_strikes;
    return {entry.task.affinity, entry.strikes, entry.task.cost, entry.task.id, alone};
}

void Scheduler::State::detach(TaskEntry& entry) {
    if (entry.stage == Stage::waiting) {
        waiting.remove(key(entry));
        --counts.waiting;
        return;
    }
    MEMCAP_EXPECT(entry.stage == Stage::leased);
    WorkerEntry& holder = workers.at(entry.holder);
    const auto place = std::find(holder.held.begin(), holder.held.end(), entry.task.id);
    MEMCAP_EXPECT(place != holder.held.end());
    holder.held.erase(place);
    holder.held_cost = holder.held.empty() ? 0.0 : holder.held_cost - entry.task.cost;
    entry.holder = -1;
    --counts.leased;
    // Sums of floating-point costs drift; with nothing leased is the moment to forget that.
    leased_cost = counts.leased == 0 ? 0.0 : leased_cost - entry.task.cost;
}

void Scheduler::State::wait(TaskEntry& entry) {
    entry.stage = Stage::waiting;
    ++counts.waiting;
    waiting.add(key(entry));
}

void Scheduler::State::strike(TaskEntry& entry, const std::string& reason) {
    ++entry.strikes;
    troubles[entry.task.id] = reason;
    if (entry.strikes < options.max_strikes) {
        wait(entry);
        return;
    }
    const std::string message = fmt::format(
        "given up after {} attempts that ended with a worker, the last time: {}", entry.strikes, reason);
    warn(fmt::format("{} is {}", name(entry), message));
    keep(entry, {entry.task.id, entry.attempts, TaskFailure{FailureCategory::permanent, message}, {}});
}

void Scheduler::State::keep(TaskEntry& entry, TaskResult result) {
    entry.stage = Stage::storing;
    ++counts.storing;
    entry.result_is_failure = result.failure.has_value();
    out.push_back(action::Store{std::move(result)});
}

/// Draws the conclusions of an event: is the run over, can it go on?
void Scheduler::State::settle(double now_s) {
    if (over) return;
    const bool all_ended = counts.waiting + counts.leased + counts.storing == 0;
    const auto any = [&](auto condition) {
        return std::any_of(workers.begin(), workers.end(),
                           [&](const auto& pair) { return condition(pair.second); });
    };
    if (!all_ended && !stopping) {
        const bool hope = any([](const WorkerEntry& worker) {
            return worker.usable() || worker.phase == Phase::absent ||
                   (worker.phase == Phase::active && !worker.held.empty());
        });
        if (!hope) begin_stop(now_s, "no worker is left that could go on");
    }
    const bool drained = stopping && counts.storing == 0 &&
                         !any([](const WorkerEntry& worker) { return worker.phase == Phase::active; });
    if (!all_ended && !drained) return;
    over = true;
    for (const auto& [rank, worker] : workers) {
        if (!worker.goodbye) send(rank, message::Finish{});
    }
}

void Scheduler::State::begin_stop(double now_s, const std::string& reason) {
    if (stopping || over) return;
    stopping = true;
    stopped_s = now_s;
    if (!reason.empty()) warn(fmt::format("{}; no more work is handed out", reason));
    for (const auto& [rank, worker] : workers) {
        if (worker.phase == Phase::active) send(rank, message::Stop{});
    }
}

std::string Scheduler::State::name(Rank rank) const {
    const auto worker = workers.find(rank);
    if (worker == workers.end() || worker->second.facts.host.empty()) return fmt::format("rank {}", rank);
    return fmt::format("rank {} ({})", rank, worker->second.facts.host);
}

std::string Scheduler::State::name(const TaskEntry& entry) const {
    return fmt::format("task {} ({})", entry.task.id.value, entry.task.key.hex());
}

}  // namespace memcap::sched
