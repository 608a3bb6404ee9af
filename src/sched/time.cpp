// What the end of the job leaves time for.
#include <algorithm>
#include <limits>
#include <utility>

#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

/// Until tasks that run are stopped.
double Scheduler::State::left_s() const {
    return options.end_s ? *options.end_s - now_s : std::numeric_limits<double>::infinity();
}

/// Whether a task of this affinity that starts now would be saved before the end, or ended: by the longest
/// one so far.
bool Scheduler::State::has_time(std::uint64_t affinity) const {
    const double left = left_s();
    if (left >= options.checkpoint_s) return true;
    const auto longest = longest_s.find(affinity);
    return longest != longest_s.end() && longest->second <= left;
}

bool Scheduler::State::can_run(const WorkerEntry& worker, std::uint64_t affinity) const {
    return !worker.barred_from.contains(affinity) && has_time(affinity);
}

/// A task ends well.
void Scheduler::State::note_duration(const TaskEntry& entry) {
    const auto start = started_s.find(entry.task.id);
    if (start == started_s.end()) return;
    double& longest = longest_s[entry.task.affinity];
    longest = std::max(longest, now_s - start->second);
}

void Scheduler::State::watch_end() {
    if (stopping || over || left_s() >= options.checkpoint_s) return;
    if (left_s() <= 0.0) return end_of_time();
    const auto fits = [this](const auto& queue) { return has_time(queue.first); };
    const bool something_fits = std::any_of(waiting.sharing().begin(), waiting.sharing().end(), fits) ||
                                std::any_of(waiting.alone().begin(), waiting.alone().end(), fits);
    if (counts.leased + counts.storing == 0 && !something_fits) return end_of_time();
    if (std::exchange(last_minute, true)) return;
    for (auto& [rank, worker] : workers) {
        const bool holds_back = worker.phase == Phase::active && worker.started < worker.held.size();
        if (!holds_back || worker.recalled || has_time(entry(worker.held.back()).task.affinity)) continue;
        worker.recalled = true;
        file(rank);
        send(rank, message::Recall{std::numeric_limits<std::uint32_t>::max()});
    }
}

void Scheduler::State::end_of_time() {
    out_of_time = true;
    begin_stop("the job's time is over");
}

}  // namespace memcap::sched
