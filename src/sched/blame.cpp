// Whose fault a failure was: the task's, the worker's, or that of the whole experiment.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

void Scheduler::State::on_failure(Rank from, TaskEntry& entry, TaskResult result, LeaseId lease) {
    const TaskFailure failure = *result.failure;
    const bool hosts_fault = failure.category == FailureCategory::host;
    const bool last = failure.category == FailureCategory::permanent ||
                      (!hosts_fault && entry.strikes + 1 >= options.max_strikes);
    const TaskIndex index = entry.task.id;
    pasts[index].trouble = failure.message;
    if (last) {
        to_acknowledge[index].emplace_back(from, lease);
        keep(entry, std::move(result));
    } else {
        send(from, message::Acknowledge{{{index, lease}}});
        tell(AttemptEvent::failed, from, {index}, failure.message);
        if (hosts_fault) {
            wait(entry);
        } else {
            strike(entry, from, failure.message, Blame::none);
        }
    }
    if (failure.category == FailureCategory::permanent) workers.at(from).deaths = 0;
    if (failure.category == FailureCategory::device_lost && !has_killed_elsewhere(entry, from))
        count_death(from, failure.message);
    if (hosts_fault) bar_from(from, entry.task.affinity, failure.message);
    serve_hungry();
}

/// Whether a task with strikes should rather run on another worker that is there: on a host where it has
/// failed less often if it failed twice on this one, and not where it failed last. The best worker is never
/// avoided.
bool Scheduler::State::avoids(const TaskEntry& entry, Rank rank) const {
    const auto past = pasts.find(entry.task.id);
    if (past == pasts.end() || past->second.ranks.empty()) return false;
    const std::vector<Rank>& ranks = past->second.ranks;
    const auto badness = [&](Rank candidate) {
        const std::string& host = workers.at(candidate).facts.host;
        const auto on_host = std::count_if(ranks.begin(), ranks.end(), [&](Rank other) {
            return other == candidate || workers.at(other).facts.host == host;
        });
        return std::pair(on_host >= 2 ? on_host : 0, candidate == ranks.back());
    };
    const auto here = badness(rank);
    if (here.first == 0 && !here.second) return false;
    return std::any_of(workers.begin(), workers.end(), [&](const auto& pair) {
        const auto& [other, worker] = pair;
        return worker.usable() && !worker.barred_from.contains(entry.task.affinity) && badness(other) < here;
    });
}

/// Whether a task has a strike that this worker has no part in: then it is the likelier culprit.
bool Scheduler::State::has_killed_elsewhere(const TaskEntry& entry, Rank rank) const {
    const auto past = pasts.find(entry.task.id);
    return entry.task.strikes > 0 ||
           (past != pasts.end() && std::any_of(past->second.ranks.begin(), past->second.ranks.end(),
                                               [&](Rank other) { return other != rank; }));
}

/// A worker that does nothing but die gets no more tasks.
void Scheduler::State::count_death(Rank rank, const std::string& reason) {
    WorkerEntry& worker = workers.at(rank);
    if (++worker.deaths < options.bar_after || worker.barred || stopping) return;
    bar(rank, fmt::format("{} crashes and lost devices in a row, the last: {}", worker.deaths, reason));
}

/// This worker cannot run tasks of this affinity.
void Scheduler::State::bar_from(Rank rank, std::uint64_t affinity, const std::string& reason) {
    WorkerEntry& worker = workers.at(rank);
    if (!worker.barred_from.emplace(affinity, reason).second) return;
    tell_trouble(fmt::format("{} gets no more tasks of this kind: {}", name(rank), reason));
    worker.recalled = true;
    file(rank);
    send(rank, message::Recall{std::numeric_limits<std::uint32_t>::max()});
    const bool somebody = std::any_of(workers.begin(), workers.end(), [&](const auto& pair) {
        const WorkerEntry& other = pair.second;
        return (!other.barred || other.may_return) && !other.barred_from.contains(affinity);
    });
    if (!somebody && !stopping) give_up_all(affinity, fmt::format("no worker can run it: {}", reason));
}

/// Nobody can run these. Where there is nothing else they had better wait for the next launch.
void Scheduler::State::give_up_all(std::uint64_t affinity, const std::string& reason) {
    const bool others_wait = std::any_of(tasks.begin(), tasks.end(), [&](const TaskEntry& task) {
        return !task.ended() && task.stage != Stage::beyond_limit && task.task.affinity != affinity;
    });
    if (!others_wait && counts.done == 0) {
        alike_failure = reason;
        begin_stop(reason);
        return;
    }
    dead.emplace(affinity, reason);
    std::uint64_t given_up = 0;
    for (TaskEntry& task : tasks) {
        if (task.stage != Stage::waiting || task.task.affinity != affinity) continue;
        detach(task);
        give_up(task, reason);
        ++given_up;
    }
    warn(fmt::format("{} tasks fail for good: {}", given_up, reason));
}

/// If the first tasks all fail alike, the rest would too.
void Scheduler::State::judge_alike(Rank from, const TaskResult& result) {
    if (!alike.possible || options.alike_failures == 0) return;
    if (result.failure && result.failure->category != FailureCategory::retryable &&
        result.failure->category != FailureCategory::permanent) {
        return;  // the worker's fault
    }
    if (alike.tasks.empty() && result.failure) alike.message = result.failure->message;
    alike.possible = result.failure && result.failure->message == alike.message;
    if (!alike.possible) return;
    alike.tasks.insert(result.task);
    alike.ranks.insert(from);
    const bool everywhere = alike.ranks.size() >= std::min(options.alike_failures, roster.usable());
    if (alike.tasks.size() < options.alike_failures || !everywhere) return;
    alike.possible = false;
    alike_failure = fmt::format("the first {} tasks all failed alike, on {} worker{}: {}", alike.tasks.size(),
                                alike.ranks.size(), alike.ranks.size() == 1 ? "" : "s", alike.message);
    begin_stop(alike_failure);
}

/// Whether some worker can run something of what waits.
bool Scheduler::State::anybody_can_go_on() const {
    return std::any_of(workers.begin(), workers.end(), [&](const auto& pair) {
        const WorkerEntry& worker = pair.second;
        const auto can = [&](const auto& queue) { return can_run(worker, queue.first); };
        return worker.usable() && (std::any_of(waiting.sharing().begin(), waiting.sharing().end(), can) ||
                                   std::any_of(waiting.alone().begin(), waiting.alone().end(), can));
    });
}

std::string Scheduler::State::with_trouble(const std::string& text) const {
    return last_trouble.empty() ? text : fmt::format("{}; {}", text, last_trouble);
}

}  // namespace memcap::sched
