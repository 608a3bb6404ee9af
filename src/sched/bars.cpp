// Who gets no more tasks because of a device, and how it comes back.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "sched/detail/scheduler_state.hpp"

namespace memcap::sched {

namespace {

constexpr double kJudgeEvery_s = 60.0;
constexpr double kLeastBusy_s = 20.0;     ///< of these, for a speed that says something
constexpr std::size_t kLeastWorkers = 4;  ///< alike: itself and three to compare with
constexpr double kSlow = 0.1;             ///< of the median speed

}  // namespace

/// What names it over restarts of processes and for all ranks on it.
std::string Scheduler::State::device_of(Rank rank) const {
    const std::string& id = workers.at(rank).facts.device_id;
    return id.empty() ? fmt::format("rank {}", rank) : id;
}

/// No more tasks for all that compute on the device of this rank. Once they may come back.
void Scheduler::State::bar(Rank rank, const std::string& reason) {
    const std::string device = device_of(rank);
    const bool may_return = ++bars[device] == 1;
    for (const auto& [other, worker] : workers) {
        if (device_of(other) != device) continue;
        bar_one(other,
                other == rank ? reason : fmt::format("its device is that of {}: {}", name(rank), reason),
                may_return);
    }
}

void Scheduler::State::bar_one(Rank rank, const std::string& reason, bool may_return) {
    WorkerEntry& worker = workers.at(rank);
    worker.barred = true;
    worker.may_return = may_return;
    worker.proving = false;
    worker.trouble =
        worker.facts.device_id.empty() ? reason : fmt::format("{} ({})", reason, worker.facts.device_id);
    tell_trouble(fmt::format("{} gets no more work: {}{}", name(rank), worker.trouble,
                             may_return ? "; it comes back if a fresh process passes its self-test" : ""));
    if (worker.phase == Phase::active) {
        if (may_return) {
            renew(rank);
        } else {
            // What runs there goes on elsewhere.
            send(rank, message::Stop{});
        }
    }
    file(rank);
}

/// Has the worker started anew.
void Scheduler::State::renew(Rank rank) {
    WorkerEntry& worker = workers.at(rank);
    release_all(rank, Blame::none, {});
    worker.affinity = worker.loaded = std::nullopt;
    change_phase(rank, Phase::absent);
    send(rank, message::Renew{});
}

/// A fresh process on a barred device has passed its self-test.
void Scheduler::State::prove(Rank rank) {
    WorkerEntry& worker = workers.at(rank);
    worker.barred = worker.proving = worker.may_return = false;
    worker.deaths = 0;
    worker.trouble.clear();
    warn(fmt::format("{} has passed its self-test in a fresh process and gets work again", name(rank)));
    file(rank);
}

/// Compares what workers of one kind of device have computed of one affinity since the last time.
void Scheduler::State::judge_speeds() {
    if (stopping || over || now_s - judged_s < kJudgeEvery_s) return;
    judged_s = now_s;
    std::map<std::pair<std::uint64_t, std::string>, std::vector<std::pair<double, Rank>>> groups;
    for (auto& [rank, worker] : workers) {
        const Pace before = std::exchange(worker.judged_pace, worker.pace);
        const bool goes_on = before.affinity == worker.pace.affinity && before.work <= worker.pace.work;
        const double busy_s = worker.pace.busy_s - (goes_on ? before.busy_s : 0.0);
        const double work = worker.pace.work - (goes_on ? before.work : 0.0);
        if (worker.usable() && busy_s >= kLeastBusy_s)
            groups[{worker.pace.affinity, worker.facts.device}].emplace_back(work / busy_s, rank);
    }
    std::vector<std::pair<Rank, std::string>> slow;
    for (auto& [kind, speeds] : groups) {
        if (speeds.size() < kLeastWorkers) continue;
        std::sort(speeds.begin(), speeds.end());
        const double median = speeds[speeds.size() / 2].first;
        for (const auto& [speed, rank] : speeds) {
            if (speed >= kSlow * median) break;
            slow.emplace_back(
                rank,
                fmt::format("it is slow: {:.3g} GFLOP/s over the last minute, where {} others with a {} "
                            "reach {:.3g} in the same tasks (median)",
                            speed / 1e9, speeds.size() - 1, kind.second, median / 1e9));
        }
    }
    for (const auto& [rank, reason] : slow) {
        if (!workers.at(rank).barred) bar(rank, reason);
    }
    if (!slow.empty()) serve_hungry();
}

}  // namespace memcap::sched
