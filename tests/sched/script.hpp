// A scheduler with workers and disk played by hand.
#pragma once

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "memcap/sched/scheduler.hpp"
#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {

/// Plays workers and disk by hand.
class Script {
  public:
    Script(std::vector<Task> tasks, std::vector<Rank> ranks, const Options& options = {})
        : scheduler(std::move(tasks), std::move(ranks), options, 0.0) {}

    std::vector<Action> feed(Event event) {
        std::vector<Action> actions = scheduler.handle(std::move(event), now_s);
        scheduler.check();
        for (const Action& action : actions) {
            if (const auto* send = std::get_if<action::Send>(&action)) sent.push_back(*send);
            if (const auto* store = std::get_if<action::Store>(&action)) to_store.push_back(store->result);
            if (const auto* crash = std::get_if<action::NoteCrash>(&action)) crashes.push_back(*crash);
            if (const auto* note = std::get_if<action::NoteAttempts>(&action)) attempts.push_back(note->note);
            if (const auto* warning = std::get_if<action::Warn>(&action)) warnings.push_back(warning->text);
        }
        return actions;
    }
    void receive(Rank from, Message message) { feed(event::Received{from, std::move(message)}); }
    void join(Rank rank, double speed = 1.0, const std::string& host = "node",
              const std::string& device = "") {
        receive(rank, message::Join{{host, "cpu", speed, device}});
    }
    /// The worker has seen all its leases and wants more.
    std::vector<LeasedTask> want(Rank rank, std::uint32_t free_slots, std::uint32_t wanted) {
        sent.clear();
        receive(rank, message::Status{last_lease[rank], free_slots, wanted, {}});
        return leased_to(rank);
    }
    /// It has started these and wants nothing.
    void start(Rank rank, const std::vector<std::uint32_t>& started) {
        sent.clear();
        message::Status status{last_lease[rank], 0, 0, {}};
        for (const std::uint32_t task : started) status.started.push_back({TaskIndex{task}, leases.at(task)});
        receive(rank, std::move(status));
    }
    /// Asks for that many and starts them.
    std::vector<LeasedTask> take(Rank rank, std::uint32_t tasks) {
        std::vector<LeasedTask> taken = want(rank, tasks, tasks);
        std::vector<std::uint32_t> started;
        for (const LeasedTask& task : taken) started.push_back(task.task.id.value);
        start(rank, started);
        return taken;
    }
    std::vector<LeasedTask> leased_to(Rank rank) {
        std::vector<LeasedTask> tasks;
        for (const action::Send& send : sent) {
            const auto* lease = std::get_if<message::Lease>(&send.message);
            if (lease == nullptr || send.to != rank) continue;
            last_lease[rank] = lease->id;
            for (const LeasedTask& task : lease->tasks) {
                tasks.push_back(task);
                leases[task.task.id.value] = lease->id;
            }
        }
        return tasks;
    }
    void result(Rank from, std::uint32_t task, LeaseId lease, std::optional<TaskFailure> failure = {}) {
        sent.clear();
        receive(from, message::Result{lease, {TaskIndex{task}, 1, std::move(failure), bytes_of("record")}});
    }
    void result(Rank from, std::uint32_t task, std::optional<TaskFailure> failure = {}) {
        result(from, task, leases.at(task), std::move(failure));
    }
    void store_all() {
        event::Stored stored;
        for (const TaskResult& kept : std::exchange(to_store, {})) stored.tasks.push_back(kept.task);
        feed(std::move(stored));
    }
    template <class Kind>
    std::vector<Rank> told() const {
        std::vector<Rank> ranks;
        for (const action::Send& send : sent) {
            if (std::holds_alternative<Kind>(send.message)) ranks.push_back(send.to);
        }
        return ranks;
    }
    template <class Kind>
    const Kind& last() const {
        for (auto send = sent.rbegin(); send != sent.rend(); ++send) {
            if (const auto* kind = std::get_if<Kind>(&send->message)) return *kind;
        }
        throw std::runtime_error("no such message was sent");
    }

    Scheduler scheduler;
    double now_s = 0.0;
    std::vector<action::Send> sent;
    std::vector<TaskResult> to_store;
    std::vector<action::NoteCrash> crashes;
    std::vector<AttemptNote> attempts;
    std::vector<std::string> warnings;
    std::map<Rank, LeaseId> last_lease;
    std::map<std::uint32_t, LeaseId> leases;  ///< the newest of each task
};

inline std::vector<Task> equal_tasks(std::uint32_t count, std::uint64_t affinities = 1) {
    std::vector<Task> tasks = make_tasks(count, affinities);
    for (Task& task : tasks) task.cost = 2.0;
    return tasks;
}

inline std::vector<std::uint32_t> numbers(const std::vector<LeasedTask>& tasks) {
    std::vector<std::uint32_t> result;
    for (const LeasedTask& task : tasks) result.push_back(task.task.id.value);
    return result;
}

}  // namespace memcap::sched::testing
