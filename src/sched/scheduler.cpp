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
    state.now_s = state.ticked_s = now_s;
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
            continue;
        }
        ++state.counts.total;
        state.counts.cost += entry.task.cost;
        entry.strikes = std::min(entry.task.strikes, options.max_strikes);
        if (entry.strikes < options.max_strikes) {
            state.wait(entry);
        } else {
            state.give_up(entry, fmt::format("given up after {} crashes in earlier launches", entry.strikes));
        }
    }
    for (const Rank rank : ranks) state.worker(rank).heard_s = now_s;
    state.settle();
}

Scheduler::~Scheduler() = default;
Scheduler::Scheduler(Scheduler&&) noexcept = default;
Scheduler& Scheduler::operator=(Scheduler&&) noexcept = default;

std::vector<Action> Scheduler::handle(Event event, double now_s) {
    state_->now_s = now_s;
    std::visit([&](auto& specific) { state_->on(specific); }, event);
    state_->settle();
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
    counts.workers = state_->roster.usable();
    counts.lost_workers = state_->roster.lost();
    return counts;
}

UnfinishedWork Scheduler::unfinished() const {
    UnfinishedWork all;
    for (const auto& [rank, worker] : state_->workers) {
        if (worker.held.empty()) continue;
        all.work += worker.unfinished.work;
        all.steps += worker.unfinished.steps;
    }
    return all;
}

bool Scheduler::over() const {
    return state_->over;
}
bool Scheduler::stopping() const {
    return state_->stopping;
}

const std::string& Scheduler::stop_reason() const {
    return state_->stop_reason;
}
bool Scheduler::out_of_time() const {
    return state_->out_of_time;
}
const std::string& Scheduler::alike_failure() const {
    return state_->alike_failure;
}

std::vector<std::string> Scheduler::barred_workers() const {
    std::vector<std::string> barred;
    for (const auto& [rank, worker] : state_->workers) {
        if (worker.barred) barred.push_back(fmt::format("{}: {}", state_->name(rank), worker.trouble));
        for (const auto& [affinity, reason] : worker.barred_from)
            barred.push_back(fmt::format("{}: {}", state_->name(rank), reason));
    }
    return barred;
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

WorkerEntry& Scheduler::State::worker(Rank rank) {
    const auto [found, is_new] = workers.try_emplace(rank);
    if (is_new) {
        found->second.filed = filing_of(found->second);
        roster.add(rank, found->second.filed);
    }
    return found->second;
}

void Scheduler::State::on(event::Received& event) {
    WorkerEntry& from = worker(event.from);
    from.heard_s = now_s;
    const auto handle_message = [&](auto& message) {
        if constexpr (requires { on_message(event.from, message); }) {
            on_message(event.from, message);
        } else {
            warn(fmt::format("{} sent a message that only the manager sends; it was ignored",
                             name(event.from)));
        }
    };
    std::visit(handle_message, event.message);
    if (from.phase == Phase::lost) ask_back(event.from);
}

void Scheduler::State::on(event::PeerLost& event) {
    if (worker(event.rank).phase == Phase::lost) return;
    lose(event.rank, event.reason, Blame::crash);
    serve_hungry();
}

void Scheduler::State::on(event::Tick&) {
    watch_deadlines();
    watch_end();
    judge_speeds();
    const bool busy = counts.leased + counts.storing + roster.absent() > 0;
    if (!stopping && !over && !busy && !anybody_can_go_on())
        begin_stop(with_trouble("no worker is left that can run what waits"));
}

void Scheduler::State::on(event::StopRequested&) {
    begin_stop({});
}

void Scheduler::State::on(event::Stored& event) {
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

void Scheduler::State::on(event::StoreFailed& event) {
    begin_stop(fmt::format("results cannot be kept: {}", event.reason));
    for (const TaskIndex index : event.tasks) {
        TaskEntry& task = entry(index);
        MEMCAP_EXPECT(task.stage == Stage::storing);
        --counts.storing;
        to_acknowledge.erase(index);
        pasts[index].trouble = event.reason;
        wait(task);
    }
}

WaitingKey Scheduler::State::key(const TaskEntry& entry) const {
    return {entry.task.affinity, entry.strikes, entry.task.cost, entry.task.id, entry.strikes > 0};
}

void Scheduler::State::detach(TaskEntry& entry) {
    if (entry.stage == Stage::waiting) {
        waiting.remove(key(entry));
        --counts.waiting;
        return;
    }
    MEMCAP_EXPECT(entry.stage == Stage::leased);
    const Rank rank = std::exchange(entry.holder, -1);
    WorkerEntry& holder = workers.at(rank);
    const auto place = std::find(holder.held.begin(), holder.held.end(), entry.task.id);
    MEMCAP_EXPECT(place != holder.held.end());
    holder.held.erase(place);
    // Sums of floating-point costs drift; with nothing held or leased is the moment to forget that.
    holder.held_cost = holder.held.empty() ? 0.0 : holder.held_cost - entry.task.cost;
    if (holder.held.empty()) holder.affinity = holder.loaded;
    --counts.leased;
    leased_cost = counts.leased == 0 ? 0.0 : leased_cost - entry.task.cost;
    if (std::exchange(entry.started, false)) {
        started_s.erase(entry.task.id);
        --holder.started;
        --counts.started;
    }
    file(rank);
}

void Scheduler::State::wait(TaskEntry& entry) {
    const auto nobody = dead.find(entry.task.affinity);
    if (nobody != dead.end() && !stopping) return give_up(entry, nobody->second);
    entry.stage = Stage::waiting;
    ++counts.waiting;
    waiting.add(key(entry));
}

void Scheduler::State::strike(TaskEntry& entry, Rank rank, const std::string& reason, Blame blame) {
    ++entry.strikes;
    Past& past = pasts[entry.task.id];
    past.trouble = reason;
    past.ranks.push_back(rank);
    if (blame == Blame::crash) out.push_back(action::NoteCrash{entry.task.id, reason});
    if (entry.strikes < options.max_strikes) return wait(entry);
    const std::string message = fmt::format(
        "given up after {} attempts that ended with a worker, the last time: {}", entry.strikes, reason);
    warn(fmt::format("{} is {}", name(entry), message));
    give_up(entry, message);
}

/// Ends a task without a worker's record.
void Scheduler::State::give_up(TaskEntry& entry, const std::string& message) {
    keep(entry, {entry.task.id, entry.attempts, TaskFailure{FailureCategory::permanent, message}, {}});
}

void Scheduler::State::keep(TaskEntry& entry, TaskResult result) {
    entry.stage = Stage::storing;
    ++counts.storing;
    entry.result_is_failure = result.failure.has_value();
    out.push_back(action::Store{std::move(result)});
}

/// Draws the conclusions of an event: is the run over, can it go on?
void Scheduler::State::settle() {
    if (over) return;
    const bool all_ended = counts.waiting + counts.leased + counts.storing == 0;
    if (!all_ended && !stopping && roster.usable() + roster.absent() + roster.busy() == 0)
        begin_stop(with_trouble("no worker is left that could go on"));
    const bool drained = stopping && counts.storing == 0 && roster.active() == 0;
    if (!all_ended && !drained) return;
    over = true;
    for (const auto& [rank, worker] : workers) {
        if (!worker.goodbye) send(rank, message::Finish{});
    }
}

void Scheduler::State::begin_stop(const std::string& reason) {
    if (stopping || over) return;
    stopping = true;
    stopped_s = now_s;
    stop_reason = reason;
    if (!reason.empty()) warn(fmt::format("{}; no more work is handed out", reason));
    for (const auto& [rank, worker] : workers) {
        if (worker.phase == Phase::active) send(rank, message::Stop{});
    }
}

bool Scheduler::State::is_current(Rank from, const TaskLease& lease) const {
    if (lease.task.value >= tasks.size()) return false;
    const TaskEntry& task = entry(lease.task);
    return task.stage == Stage::leased && task.holder == from && task.lease == lease.lease;
}

/// Notes what became of attempts of tasks that a worker had.
void Scheduler::State::tell(AttemptEvent event, Rank rank, const std::vector<TaskIndex>& told,
                            const std::string& reason) {
    if (told.empty()) return;
    WorkerEntry& worker = workers.at(rank);
    AttemptNote note{.event = event,
                     .rank = rank,
                     .host = worker.facts.host,
                     .device = worker.facts.device,
                     .attempts = {},
                     .reason = reason};
    note.attempts.reserve(told.size());
    for (const TaskIndex index : told)
        note.attempts.push_back({entry(index).task.key, entry(index).attempts});
    if (event == AttemptEvent::started) worker.deed = {"started", told.back(), now_s};
    if (event == AttemptEvent::given_back) worker.deed = {"gave back", told.back(), now_s};
    out.push_back(action::NoteAttempts{std::move(note)});
}

/// A worker's task has ended on it, well or not.
void Scheduler::State::note_end(Rank rank, TaskIndex task, bool has_failed) {
    WorkerEntry& worker = workers.at(rank);
    ++(has_failed ? worker.failures : worker.done);
    worker.ended_s = now_s;
    worker.deed = {has_failed ? "failed" : "finished", task, now_s};
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
