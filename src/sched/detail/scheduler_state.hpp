// The scheduler's state: one entry a task, one a worker, and the steps that change them.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "memcap/sched/scheduler.hpp"
#include "sched/detail/waiting_tasks.hpp"
#include "sched/detail/worker_index.hpp"

namespace memcap::sched {

enum class Stage : std::uint8_t { beyond_limit, waiting, leased, storing, done, failed };

/// There are millions of them: what few tasks have is in maps of the State.
struct TaskEntry {
    Task task;
    Stage stage = Stage::waiting;
    bool result_is_failure = false;  ///< of the result being stored
    bool started = false;            ///< its worker has said so; where stage is leased
    Rank holder = -1;                ///< of the lease, where stage is leased
    LeaseId lease;                   ///< of the newest lease
    std::uint32_t attempts = 0;
    std::uint32_t strikes = 0;

    bool ended() const { return stage == Stage::done || stage == Stage::failed; }
};

/// `lost` ones may come back; `absent` ones have not joined yet or are being started again.
enum class Phase : std::uint8_t { absent, active, left, failed, lost };

/// What the tasks that a worker had started are blamed for when it goes. Silence may yet prove to be no
/// crash.
enum class Blame : std::uint8_t { none, silence, crash };

/// What went wrong with a task before.
struct Past {
    std::string trouble;      ///< why its newest attempt did not end well
    std::vector<Rank> ranks;  ///< where it got its strikes in this launch
};

/// The first failures, as long as they are the same and nothing has succeeded.
struct Alike {
    bool possible = true;
    std::string message;
    std::set<TaskIndex> tasks;
    std::set<Rank> ranks;
};

/// What a worker did last.
struct Deed {
    std::string_view what;
    TaskIndex task;
    double at_s = 0.0;
};

struct WorkerEntry {
    Phase phase = Phase::absent;
    bool barred = false;       ///< no more tasks
    bool may_return = false;   ///< where barred: once a fresh process has passed its self-test
    bool proving = false;      ///< where it may return: that process has joined
    std::uint32_t deaths = 0;  ///< crashes and lost devices since it last computed something
    std::map<std::uint64_t, std::string> barred_from;  ///< affinities that it cannot run, and why
    bool goodbye = false;
    bool rejoining = false;  ///< has been told to join again
    bool recalled = false;   ///< has been asked for tasks and has not answered
    std::string trouble;     ///< why it is lost, failed or barred
    WorkerFacts facts;
    double heard_s = 0.0;
    bool has_asked = false;
    LeaseId lease_seen;
    std::vector<TaskIndex> held;  ///< leased to it, in the order of the leases
    std::uint32_t started = 0;    ///< of the held ones
    double held_cost = 0.0;
    std::uint32_t open_wants = 0;           ///< of the tasks it asked for, those not sent yet
    std::uint32_t open_slots = 0;           ///< of its free slots, those for which nothing was sent yet
    std::optional<std::uint64_t> affinity;  ///< of what it was sent last, or has loaded if it holds nothing
    std::optional<std::uint64_t> loaded;    ///< affinity of what it started last
    std::vector<TaskIndex> blamed;          ///< tasks that got a strike because it was silent
    std::uint64_t done = 0;                 ///< tasks it has finished
    std::uint64_t failures = 0;             ///< tasks that failed on it
    double joined_s = 0.0;                  ///< for the first time
    double ended_s = 0.0;                   ///< when the last of those ended
    std::optional<Deed> deed;
    Filing filed;  ///< how the index knows it

    Pace pace;
    Pace judged_pace;  ///< when speeds were compared last
    UnfinishedWork unfinished;

    bool usable() const { return phase == Phase::active && !barred; }
};

struct Scheduler::State {
    Options options;
    std::vector<TaskEntry> tasks;
    std::unordered_map<TaskIndex, Past> pasts;
    std::map<std::uint64_t, std::string> dead;        ///< affinities that no worker can run, and why
    std::map<std::string, std::uint32_t> bars;        ///< how often a device was barred
    std::unordered_map<TaskIndex, double> started_s;  ///< of the tasks that run
    std::map<std::uint64_t, double> longest_s;        ///< that a task of an affinity has taken
    bool last_minute = false;                         ///< tasks that cannot be saved in time were recalled
    bool out_of_time = false;
    double judged_s = 0.0;  ///< when speeds were compared last
    Alike alike;
    std::string alike_failure;
    std::string stop_reason;
    std::string last_trouble;  ///< of a worker, naming it
    /// Of tasks whose result is being stored: whom to tell once it is safe.
    std::unordered_map<TaskIndex, std::vector<std::pair<Rank, LeaseId>>> to_acknowledge;
    std::map<Rank, WorkerEntry> workers;
    WorkerIndex roster;
    WaitingTasks waiting;
    Counts counts;  ///< those of workers are the index's
    LeaseId last_lease;
    double leased_cost = 0.0;  ///< of all leased tasks
    bool stopping = false;
    bool over = false;
    double now_s = 0.0;
    double ticked_s = 0.0;
    double stopped_s = 0.0;
    std::vector<Action> out;

    // Events (scheduler.cpp, on_message.cpp).
    void on(event::Received& event);
    void on(event::PeerLost& event);
    void on(event::Tick& event);
    void on(event::StopRequested& event);
    void on(event::Stored& event);
    void on(event::StoreFailed& event);
    void on_message(Rank from, message::Join& message);
    void on_message(Rank from, message::Status& message);
    void on_message(Rank from, message::Heartbeat& message);
    void on_message(Rank from, message::Result& message);
    void on_message(Rank from, message::Returned& message);
    void on_message(Rank from, message::Leave& message);
    void on_message(Rank from, message::Failed& message);
    void on_message(Rank from, message::Crashed& message);
    void on_message(Rank from, message::Goodbye& message);

    // Leases (leasing.cpp).
    void serve(Rank rank);
    void serve_hungry();
    void recall_for(Rank idle);
    double fair_seconds() const;
    double fair_cost(const WorkerEntry& worker) const;
    bool holds_alone(const WorkerEntry& worker) const;
    std::optional<std::uint64_t> best_affinity(const WorkerEntry& worker) const;
    std::vector<TaskIndex> choose(Rank rank) const;
    std::optional<TaskIndex> choose_alone(Rank rank) const;
    void lease(Rank rank, const std::vector<TaskIndex>& chosen);

    // Tasks (scheduler.cpp). detach() leaves a task in no place; wait(), strike() or keep() must follow.
    WaitingKey key(const TaskEntry& entry) const;
    TaskEntry& entry(TaskIndex index) { return tasks[index.value]; }
    const TaskEntry& entry(TaskIndex index) const { return tasks[index.value]; }
    void detach(TaskEntry& entry);
    void wait(TaskEntry& entry);
    void strike(TaskEntry& entry, Rank rank, const std::string& reason, Blame blame);
    void give_up(TaskEntry& entry, const std::string& message);
    void keep(TaskEntry& entry, TaskResult result);
    bool is_current(Rank from, const TaskLease& lease) const;

    // Workers (workers.cpp).
    WorkerEntry& worker(Rank rank);
    void file(Rank rank);
    Filing filing_of(const WorkerEntry& worker) const;
    void change_phase(Rank rank, Phase phase);
    void release_all(Rank rank, Blame blame, const std::string& reason);
    void lose(Rank rank, const std::string& reason, Blame blame);
    void ask_back(Rank rank);
    void forgive(Rank rank);
    void crash(Rank rank, const std::string& reason);
    void watch_deadlines();
    void begin_stop(const std::string& reason);
    void settle();

    // The end of the job (time.cpp).
    double left_s() const;
    bool has_time(std::uint64_t affinity) const;
    bool can_run(const WorkerEntry& worker, std::uint64_t affinity) const;
    void note_duration(const TaskEntry& entry);
    void watch_end();
    void end_of_time();

    // Devices and workers that get no more tasks (bars.cpp).
    std::string device_of(Rank rank) const;
    void bar(Rank rank, const std::string& reason);
    void bar_one(Rank rank, const std::string& reason, bool may_return);
    void renew(Rank rank);
    void prove(Rank rank);
    void judge_speeds();

    // Whose fault it was (blame.cpp).
    void on_failure(Rank from, TaskEntry& entry, TaskResult result, LeaseId lease);
    bool avoids(const TaskEntry& entry, Rank rank) const;
    bool has_killed_elsewhere(const TaskEntry& entry, Rank rank) const;
    void count_death(Rank rank, const std::string& reason);
    void bar_from(Rank rank, std::uint64_t affinity, const std::string& reason);
    void give_up_all(std::uint64_t affinity, const std::string& reason);
    void judge_alike(Rank from, const TaskResult& result);
    bool anybody_can_go_on() const;
    std::string with_trouble(const std::string& text) const;

    void tell(AttemptEvent event, Rank rank, const std::vector<TaskIndex>& told, const std::string& reason);
    void note_end(Rank rank, TaskIndex task, bool has_failed);
    void send(Rank to, Message message) { out.push_back(action::Send{to, std::move(message)}); }
    void warn(std::string text) { out.push_back(action::Warn{std::move(text)}); }
    /// What may be why the run cannot go on later.
    void tell_trouble(std::string text) { warn(last_trouble = std::move(text)); }
    std::string name(Rank rank) const;
    std::string name(const TaskEntry& entry) const;
};

}  // namespace memcap::sched
