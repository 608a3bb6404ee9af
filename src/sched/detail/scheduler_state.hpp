// The scheduler's state: one entry a task, one a worker, and the steps that change them.
#pragma once

#include <limits>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "memcap/sched/scheduler.hpp"
#include "sched/detail/waiting_tasks.hpp"

namespace memcap::sched {

enum class Stage : std::uint8_t { beyond_limit, waiting, leased, storing, done, failed };

/// There are millions of them: what few tasks have is in maps of the State.
struct TaskEntry {
    Task task;
    Stage stage = Stage::waiting;
    bool result_is_failure = false;  ///< of the result being stored
    Rank holder = -1;                ///< of the lease, where stage is leased
    LeaseId lease;                   ///< of the newest lease
    LeaseId closed;  ///< the newest lease that its worker has answered: no late claim can revive it
    std::uint32_t attempts = 0;
    std::uint32_t strikes = 0;

    bool ended() const { return stage == Stage::done || stage == Stage::failed; }
};

enum class Phase : std::uint8_t { absent, active, left, failed, lost };

/// Whether losing a worker is a strike against the tasks it may have been running.
enum class Blame : std::uint8_t { none, started };

struct WorkerEntry {
    Phase phase = Phase::absent;
    bool barred = false;  ///< its device is gone: no more tasks
    bool goodbye = false;
    std::string trouble;  ///< why it is lost, failed or barred
    WorkerFacts facts;
    double heard_s = 0.0;
    WorkerStatus status;
    std::vector<TaskIndex> held;  ///< leased to it, in the order of the leases
    double held_cost = 0.0;
    std::uint32_t open_wants = 0;  ///< of the tasks it asked for, those not sent yet
    std::uint32_t open_slots = 0;  ///< of its free slots, those for which nothing was sent yet
    std::uint64_t affinity = 0;    ///< of what it was sent last
    bool has_affinity = false;
    std::vector<std::pair<LeaseId, double>> unseen_leases;  ///< sent at; not confirmed by a status
    double recalled_s = -std::numeric_limits<double>::infinity();
    std::vector<TaskIndex> blamed;  ///< tasks that got a strike when it was lost

    bool usable() const { return phase == Phase::active && !barred; }
};

struct Scheduler::State {
    Options options;
    std::vector<TaskEntry> tasks;
    std::unordered_map<TaskIndex, std::string> troubles;  ///< why a task's newest attempt did not end well
    /// Of tasks whose result is being stored: whom to tell once it is safe.
    std::unordered_map<TaskIndex, std::vector<std::pair<Rank, LeaseId>>> to_acknowledge;
    std::map<Rank, WorkerEntry> workers;
    WaitingTasks waiting;
    Counts counts;
    LeaseId last_lease;
    double leased_cost = 0.0;     ///< of all leased tasks
    double speed = 0.0;           ///< of all workers, those still absent guessed
    bool speed_is_known = false;  ///< false: some worker has changed since
    bool stopping = false;
    bool over = false;
    double started_s = 0.0;
    double ticked_s = 0.0;
    double stopped_s = 0.0;
    std::vector<Action> out;

    // Events (scheduler.cpp, on_message.cpp).
    void on(event::Received& event, double now_s);
    void on(event::PeerLost& event, double now_s);
    void on(event::Tick& event, double now_s);
    void on(event::StopRequested& event, double now_s);
    void on(event::Stored& event, double now_s);
    void on(event::StoreFailed& event, double now_s);
    void on_message(Rank from, message::Join& message, double now_s);
    void on_message(Rank from, message::Status& message, double now_s);
    void on_message(Rank from, message::Heartbeat& message, double now_s);
    void on_message(Rank from, message::Result& message, double now_s);
    void on_message(Rank from, message::Returned& message, double now_s);
    void on_message(Rank from, message::Leave& message, double now_s);
    void on_message(Rank from, message::Failed& message, double now_s);
    void on_message(Rank from, message::Crashed& message, double now_s);
    void on_message(Rank from, message::Goodbye& message, double now_s);

    // Leases (leasing.cpp).
    void serve(Rank rank, double now_s);
    void serve_hungry(double now_s);
    void recall_for(Rank idle, double now_s);
    double fair_cost(const WorkerEntry& worker);
    bool holds_alone(const WorkerEntry& worker) const;
    std::uint64_t best_affinity(const WorkerEntry& worker) const;
    std::vector<TaskIndex> choose(WorkerEntry& worker);
    void lease(Rank rank, const std::vector<TaskIndex>& chosen, double now_s);
    void resend_unseen(Rank rank, double now_s);

    // Tasks (scheduler.cpp). detach() leaves a task in no place; wait(), strike() or keep() must follow.
    WaitingKey key(const TaskEntry& entry) const;
    TaskEntry& entry(TaskIndex index) { return tasks[index.value]; }
    const TaskEntry& entry(TaskIndex index) const { return tasks[index.value]; }
    void detach(TaskEntry& entry);
    void wait(TaskEntry& entry);
    void strike(TaskEntry& entry, const std::string& reason);
    void keep(TaskEntry& entry, TaskResult result);

    // Workers (workers.cpp).
    void change_phase(WorkerEntry& worker, Phase phase);
    void update_status(WorkerEntry& worker, const WorkerStatus& status);
    bool reconcile(Rank rank, std::vector<TaskLease> held);
    void adopt(Rank rank, TaskEntry& entry, LeaseId lease);
    void lose(Rank rank, const std::string& reason, Blame blame);
    void release_all(Rank rank, const std::vector<TaskIndex>& blamed, const std::string& reason);
    void welcome_back(Rank rank, double now_s);
    void bar(Rank rank, const std::string& reason);
    std::vector<TaskIndex> possibly_started(const WorkerEntry& worker) const;
    std::size_t surely_started(const WorkerEntry& worker) const;
    void watch_deadlines(double now_s);
    void begin_stop(double now_s, const std::string& reason);
    void settle(double now_s);

    void send(Rank to, Message message) { out.push_back(action::Send{to, std::move(message)}); }
    void warn(std::string text) { out.push_back(action::Warn{std::move(text)}); }
    std::string name(Rank rank) const;
    std::string name(const TaskEntry& entry) const;
};

}  // namespace memcap::sched
