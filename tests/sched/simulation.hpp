// A whole run in simulated time: the scheduler, several workers' states, and a network that may lose, double,
// delay and reorder what passes through it as bytes.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "memcap/sched/message.hpp"
#include "memcap/sched/scheduler.hpp"
#include "memcap/sched/worker_state.hpp"
#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {

/// What may happen in a simulated run; all chances are between 0 and 1.
struct Weather {
    double drop = 0.0;           ///< of each message
    double twice = 0.0;          ///< of each message
    double max_delay_s = 0.001;  ///< messages overtake each other if it is large
    double crash = 0.0;          ///< of each worker, at some time
    double stall = 0.0;          ///< of each worker: silent for a while, longer than the deadline
    double leave = 0.0;          ///< of each worker, at some time
    double late_join = 0.0;      ///< of each worker
    double poison = 0.0;         ///< of each task: kills every worker that runs it
    double permanent = 0.0;      ///< of each task: fails for good
    double flaky = 0.0;          ///< of each task: fails in a retryable way once or twice
    double device_lost = 0.0;    ///< of each worker: the first task it runs after some time loses the device
    double throwing = 0.0;       ///< of each worker: its executor throws at some time
    double stop = 0.0;           ///< of the run: a stop is requested at some time
    double away = 0.0;           ///< of the manager: it does nothing for a while, longer than the deadline
    double bad_disk = 0.0;       ///< of the run: from some time on nothing can be stored
    int min_workers = 1;
    int max_workers = 8;
    int max_tasks = 40;
    std::optional<std::uint64_t> limit;
};

class Simulation {
  public:
    Simulation(std::uint64_t seed, const Weather& weather) : random_(seed), weather_(weather) {
        options_.heartbeat_s = 2.0;
        options_.worker_deadline_s = 10.0;
        options_.manager_deadline_s = 1e9;
        options_.resend_s = 3.0;
        options_.drain_s = 20.0;
        options_.limit = weather.limit;
        make_tasks();
        make_workers();
        std::vector<Rank> ranks;
        for (const auto& [rank, worker] : workers_) ranks.push_back(rank);
        scheduler_.emplace(tasks_, ranks, options_, 0.0);
        scheduler_->check();
        plan_accidents();
        act(scheduler_->handle(event::Tick{}, 0.0));
        at(0.0, [this] { tick(); });
    }

    /// Runs until the run is over and checks what must hold at its end.
    void run() {
        while (!events_.empty() && !::testing::Test::HasFatalFailure()) {
            const auto next = events_.top();
            events_.pop();
            now_s_ = next.time_s;
            ASSERT_LT(now_s_, 20000.0) << "the run does not end: " << explain();
            (*next.action)();
            if (scheduler_->over() && storing_.empty()) break;
        }
        check_end();
    }

    const Scheduler& scheduler() const { return *scheduler_; }
    const std::map<std::uint32_t, TaskResult>& stored() const { return stored_; }
    std::uint64_t executions() const { return executions_; }

  private:
    struct Worker {
        std::unique_ptr<WorkerState> state;
        std::size_t slots = 1;
        double speed = 1.0;
        bool dead = false;
        double stalled_until_s = -1.0;
        double device_lost_s = 1e18;
        double throws_s = 1e18;
        bool returned = false;
        bool was_lost = false;  ///< the scheduler has thought so at some time
        std::map<std::uint32_t, LeasedTask> running;
    };
    struct Timed {
        double time_s;
        std::uint64_t order;
        std::shared_ptr<std::function<void()>> action;
        bool operator<(const Timed& other) const {
            return std::pair(time_s, order) > std::pair(other.time_s, other.order);
        }
    };

    bool chance(double probability) { return uniform(0.0, 1.0) < probability; }
    double uniform(double low, double high) {
        return std::uniform_real_distribution<double>(low, high)(random_);
    }
    int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

    void at(double time_s, std::function<void()> action) {
        events_.push({time_s, ++order_, std::make_shared<std::function<void()>>(std::move(action))});
    }

    void make_tasks() {
        const int count = integer(0, weather_.max_tasks);
        const int affinities = integer(1, 4);
        for (int i = 0; i < count; ++i) {
            Task task;
            task.key = Id128{1, static_cast<std::uint64_t>(i)};
            task.affinity = static_cast<std::uint64_t>(integer(1, affinities));
            task.cost = uniform(0.2, 5.0);
            task.payload = bytes_of("task " + std::to_string(i));
            tasks_.push_back(task);
            const auto index = static_cast<std::uint32_t>(i);
            if (chance(weather_.poison))
                poison_.insert(index);
            else if (chance(weather_.permanent))
                permanent_.insert(index);
            else if (chance(weather_.flaky))
                flaky_[index] = integer(1, 2);
        }
    }

    void make_workers() {
        const int count = integer(weather_.min_workers, weather_.max_workers);
        for (int rank = 0; rank < count; ++rank) {
            Worker& worker = workers_[rank];
            worker.slots = static_cast<std::size_t>(integer(1, 5));
            worker.speed = uniform(0.5, 3.0);
            worker.state = std::make_unique<WorkerState>(WorkerFacts{"node", "cpu", worker.speed}, 0.0);
            const double start_s = chance(weather_.late_join) ? uniform(0.0, 30.0) : uniform(0.0, 0.1);
            at(start_s, [this, rank] { poll_regularly(rank); });
        }
    }

    void plan_accidents() {
        const auto some_time = [this] { return uniform(0.0, 25.0); };
        for (auto& entry : workers_) {
            Worker& worker = entry.second;
            if (chance(weather_.crash)) at(some_time(), [&worker] { worker.dead = true; });
            if (chance(weather_.leave)) at(some_time(), [this, &worker] { worker.state->stop(now_s_); });
            if (chance(weather_.device_lost)) worker.device_lost_s = some_time();
            if (chance(weather_.throwing)) worker.throws_s = some_time();
            if (chance(weather_.stall)) {
                at(some_time(), [this, &worker] { worker.stalled_until_s = now_s_ + uniform(5.0, 40.0); });
            }
        }
        if (chance(weather_.stop)) at(some_time(), [this] { feed(event::StopRequested{}); });
        if (chance(weather_.away))
            at(some_time(), [this] { manager_away_until_s_ = now_s_ + uniform(5.0, 60.0); });
        if (chance(weather_.bad_disk)) disk_fails_s_ = some_time();
    }

    void feed(Event event) {
        if (now_s_ < manager_away_until_s_) {
            at(manager_away_until_s_, [this, event] { feed(event); });
            return;
        }
        act(scheduler_->handle(std::move(event), now_s_));
        scheduler_->check();
        for (const Rank rank : scheduler_->lost_workers()) workers_.at(rank).was_lost = true;
    }

    void tick() {
        feed(event::Tick{});
        at(now_s_ + 0.5, [this] { tick(); });
    }

    void act(std::vector<Action> actions) {
        for (Action& action : actions) {
            if (auto* send = std::get_if<action::Send>(&action)) {
                if (auto* welcome = std::get_if<message::Welcome>(&send->message))
                    welcome->options = options_;
                watch_acknowledgement(*send);
                post(send->message,
                     [this, rank = send->to](Message message) { deliver(rank, std::move(message)); });
            } else if (auto* store = std::get_if<action::Store>(&action)) {
                keep(std::move(store->result));
            }
        }
    }

    /// Results become safe a little later than they are handed over, as with a real disk.
    void keep(TaskResult result) {
        const std::uint32_t index = result.task.value;
        ASSERT_TRUE(storing_.insert(index).second) << "task " << index << " is being stored twice";
        ASSERT_FALSE(stored_.contains(index)) << "task " << index << " ended twice";
        at(now_s_ + uniform(0.0, 0.5), [this, index, result] {
            storing_.erase(index);
            if (now_s_ >= disk_fails_s_) {
                feed(event::StoreFailed{{result.task}, "disk full"});
            } else {
                stored_.emplace(index, result);
                feed(event::Stored{{result.task}});
            }
        });
    }

    /// A success may be acknowledged only once it is stored.
    void watch_acknowledgement(const action::Send& send) {
        const auto* safe = std::get_if<message::Acknowledge>(&send.message);
        if (safe == nullptr) return;
        for (const TaskLease& lease : safe->tasks) {
            if (!succeeded_.contains({send.to, lease})) continue;
            EXPECT_TRUE(stored_.contains(lease.task.value)) << "acknowledged before it was stored";
        }
    }

    void post(const Message& message, const std::function<void(Message)>& receive) {
        const int copies = chance(weather_.drop) ? 0 : chance(weather_.twice) ? 2 : 1;
        for (int copy = 0; copy < copies; ++copy) {
            at(now_s_ + uniform(0.0, weather_.max_delay_s),
               [receive, bytes = encode(message)] { receive(decode_message(bytes)); });
        }
    }

    void deliver(Rank rank, Message message) {
        Worker& worker = workers_.at(rank);
        if (worker.dead) return;
        if (now_s_ < worker.stalled_until_s) {
            at(worker.stalled_until_s, [this, rank, message] { deliver(rank, message); });
            return;
        }
        worker.state->receive(std::move(message), now_s_);
        step(rank);
    }

    void poll_regularly(Rank rank) {
        step(rank);
        at(now_s_ + 0.7, [this, rank] { poll_regularly(rank); });
    }

    void step(Rank rank) {
        Worker& worker = workers_.at(rank);
        if (worker.dead || now_s_ < worker.stalled_until_s) return;
        run_executor(rank, worker);
        for (Message& message : worker.state->messages(now_s_)) {
            const auto* sent = std::get_if<message::Result>(&message);
            if (sent != nullptr && !sent->result.failure)
                succeeded_.insert({rank, {sent->result.task, sent->lease}});
            post(message, [this, rank](Message copy) { feed(event::Received{rank, std::move(copy)}); });
        }
    }

    void run_executor(Rank rank, Worker& worker) {
        if (!worker.state->welcomed() || worker.returned) return;
        if (now_s_ >= worker.throws_s) {
            worker.returned = true;
            worker.running.clear();
            worker.state->executor_threw("bad kernel", now_s_);
            return;
        }
        if (worker.state->closed()) {
            worker.returned = true;
            worker.running.clear();
            worker.state->executor_returned(now_s_);
            return;
        }
        if (worker.running.size() >= worker.slots) return;
        for (LeasedTask& leased : worker.state->take(worker.slots - worker.running.size(), now_s_)) {
            const std::uint32_t index = leased.task.id.value;
            ++executions_;
            worker.running.emplace(index, leased);
            if (poison_.contains(index))
                worker.dead = true;
            else
                at(now_s_ + leased.task.cost / worker.speed, [this, rank, index] { end_task(rank, index); });
            expect_no_double_execution(index);
        }
    }

    /// Workers that the scheduler never gave up on do not run the same task at the same time.
    void expect_no_double_execution(std::uint32_t index) {
        int running = 0;
        for (const auto& [rank, worker] : workers_) {
            running += !worker.dead && !worker.was_lost && worker.running.contains(index) ? 1 : 0;
        }
        EXPECT_LE(running, 1) << "task " << index << " runs twice at " << now_s_;
    }

    void end_task(Rank rank, std::uint32_t index) {
        Worker& worker = workers_.at(rank);
        if (worker.dead) return;
        if (now_s_ < worker.stalled_until_s) {
            at(worker.stalled_until_s, [this, rank, index] { end_task(rank, index); });
            return;
        }
        const auto running = worker.running.find(index);
        if (worker.returned || running == worker.running.end()) return;
        TaskResult result = honest(running->second);
        worker.running.erase(running);
        if (permanent_.contains(index)) {
            result.failure = TaskFailure{FailureCategory::permanent, "not finite"};
        } else if (now_s_ > worker.device_lost_s) {
            result.failure = TaskFailure{FailureCategory::device_lost, "device is gone"};
        } else if (flaky_.contains(index) && flaky_[index] > 0) {
            --flaky_[index];
            result.failure = TaskFailure{FailureCategory::retryable, "out of memory"};
        }
        worker.state->finish(std::move(result), now_s_);
        step(rank);
    }

    void check_end() {
        const Counts counts = scheduler_->counts();
        ASSERT_TRUE(scheduler_->over()) << explain();
        scheduler_->check();
        EXPECT_EQ(counts.done + counts.failed, stored_.size());
        if (!scheduler_->stopping()) {
            EXPECT_EQ(stored_.size(), counts.total) << explain();
        }
        EXPECT_EQ(counts.leased, 0u);
        for (const auto& [index, result] : stored_) {
            if (!result.failure) {
                EXPECT_EQ(text_of(result.payload), "result of task " + std::to_string(index));
                EXPECT_FALSE(permanent_.contains(index) || poison_.contains(index));
            } else if (weather_.crash + weather_.stall + weather_.device_lost + weather_.throwing == 0.0) {
                // With nothing but guilty tasks around, only they may end as failures.
                // Twice flaky is not enough, unless a neighbour kills the worker as well.
                const bool flaky = flaky_.contains(index) && weather_.poison > 0.0;
                EXPECT_TRUE(permanent_.contains(index) || poison_.contains(index) || flaky)
                    << "task " << index << ": " << result.failure->message;
            }
        }
    }

    std::string explain() const {
        std::string text;
        for (std::uint32_t i = 0; i < tasks_.size(); ++i) {
            if (!stored_.contains(i)) text += scheduler_->explain_task(TaskIndex{i}) + "\n";
        }
        for (const auto& [rank, worker] : workers_) text += scheduler_->explain_worker(rank, now_s_) + "\n";
        return text;
    }

    std::mt19937_64 random_;
    Weather weather_;
    Options options_;
    std::vector<Task> tasks_;
    std::set<std::uint32_t> poison_;
    std::set<std::uint32_t> permanent_;
    std::map<std::uint32_t, int> flaky_;
    std::map<Rank, Worker> workers_;
    std::optional<Scheduler> scheduler_;
    std::priority_queue<Timed> events_;
    std::uint64_t order_ = 0;
    double now_s_ = 0.0;
    double manager_away_until_s_ = -1.0;
    double disk_fails_s_ = 1e18;
    std::set<std::uint32_t> storing_;
    std::map<std::uint32_t, TaskResult> stored_;
    std::set<std::pair<Rank, TaskLease>> succeeded_;  ///< sent by workers
    std::uint64_t executions_ = 0;
};

}  // namespace memcap::sched::testing
