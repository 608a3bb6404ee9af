// A whole run in simulated time: the scheduler, several workers that crash, hang and come back, a disk, and
// messages that take their time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
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

#include "memcap/sched/scheduler.hpp"
#include "sched/simulated_worker.hpp"
#include "sched/stub_executors.hpp"
#include "sched/weather.hpp"

namespace memcap::sched::testing {

class Simulation {
  public:
    Simulation(std::uint64_t seed, const Weather& weather) : random_(seed), weather_(weather) {
        options_.heartbeat_s = 2.0;
        options_.worker_deadline_s = 10.0;
        options_.manager_deadline_s = 1e9;
        options_.drain_s = 20.0;
        options_.limit = weather.limit;
        options_.checkpoint_s = 3.0;
        if (chance(weather.ends)) options_.end_s = uniform(2.0, Weather::kFaults_s);
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

    /// Runs until the run is over and everybody has said goodbye, and checks what must hold then.
    void run() {
        while (!events_.empty() && !::testing::Test::HasFatalFailure()) {
            const auto next = events_.top();
            events_.pop();
            now_s_ = next.time_s;
            ASSERT_LT(now_s_, deadline_s()) << "the run does not end: " << explain();
            (*next.action)();
            const bool over = scheduler_->over() && storing_.empty();
            if (over && (scheduler_->missing_goodbyes().empty() || now_s_ > over_s_ + 120.0)) break;
        }
        check_end();
    }

    const Scheduler& scheduler() const { return *scheduler_; }
    const std::map<std::uint32_t, TaskResult>& stored() const { return stored_; }
    std::uint64_t executions() const { return executions_; }
    /// Rare things that have happened.
    const std::set<std::string>& marks() const { return marks_; }

  private:
    using Worker = SimulatedWorker;
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
    void mark(bool happened, const char* what) {
        if (happened) marks_.insert(what);
    }

    void at(double time_s, std::function<void()> action) {
        events_.push({time_s, ++order_, std::make_shared<std::function<void()>>(std::move(action))});
    }

    /// All faults are over by then, and even the slowest worker could have run every task three times.
    double deadline_s() const {
        double cost = 0.0;
        for (const Task& task : tasks_) cost += task.cost;
        return Weather::kFaults_s + 200.0 + 3.0 * cost / kMinSpeed;
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
        const int per_host = integer(1, 3);
        for (int rank = 0; rank < count; ++rank) {
            Worker& worker = workers_[rank];
            worker.slots = static_cast<std::size_t>(integer(1, 5));
            worker.facts = {"node" + std::to_string(rank / per_host), "cpu", uniform(kMinSpeed, 3.0), {}};
            if (chance(0.3)) worker.facts.device_id = "GPU-" + std::to_string(rank / 2);
            const double start_s = chance(weather_.late_join) ? uniform(0.0, 30.0) : uniform(0.0, 0.1);
            at(start_s, [this, rank] { start(rank); });
        }
    }

    void plan_accidents() {
        for (auto& entry : workers_) {
            const Rank rank = entry.first;
            Worker& worker = entry.second;
            for (double when_s = some_time(); chance(weather_.crash); when_s = some_time())
                at(when_s, [this, rank] { crash(rank); });
            if (chance(weather_.death)) at(some_time(), [this, rank] { lose_rank(rank); });
            for (std::uint64_t affinity = 1; affinity <= 4; ++affinity) {
                if (chance(weather_.blind)) worker.blind.insert(affinity);
            }
            if (chance(weather_.leave)) at(some_time(), [this, rank] { leave(rank); });
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

    double some_time() { return uniform(0.0, Weather::kFaults_s); }

    // The agent's part.
    void start(Rank rank) {
        Worker& worker = workers_.at(rank);
        if (worker.gone || worker.state) return;
        worker.start(now_s_);
        poll_regularly(rank, worker.life);
    }
    void crash(Rank rank) {
        Worker& worker = workers_.at(rank);
        if (!worker.state || worker.state->said_goodbye()) return;
        mark(scheduler_->over(), "a crash at the end");
        mark(lost(rank), "a crash of a worker thought lost");
        mark(!worker.running.empty(), "a crash that takes tasks with it");
        worker.die();
        post(rank, message::Crashed{"killed"});
        at(now_s_ + uniform(0.01, 15.0), [this, rank] { start(rank); });
    }
    void lose_rank(Rank rank) {
        Worker& worker = workers_.at(rank);
        worker.gone = true;
        worker.die();
        if (chance(0.5)) at(now_s_ + 1.0, [this, rank] { feed(event::PeerLost{rank, "unreachable"}); });
    }
    void leave(Rank rank) {
        if (Worker& worker = workers_.at(rank); worker.state) worker.state->stop();
    }

    bool lost(Rank rank) const {
        const std::vector<Rank> lost = scheduler_->lost_workers();
        return std::find(lost.begin(), lost.end(), rank) != lost.end();
    }

    void feed(Event event) {
        if (now_s_ < manager_away_until_s_) {
            at(manager_away_until_s_, [this, event] { feed(event); });
            return;
        }
        const bool was_over = scheduler_->over();
        const std::uint64_t done = scheduler_->counts().storing;
        const auto* received = std::get_if<event::Received>(&event);
        const bool was_lost = received != nullptr && lost(received->from);
        act(scheduler_->handle(std::move(event), now_s_));
        mark(was_lost && scheduler_->counts().storing > done, "a result of a worker thought lost");
        if (!was_over) over_s_ = now_s_;
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
                // It computes on until the message arrives.
                if (std::holds_alternative<message::Renew>(send->message))
                    workers_.at(send->to).was_lost = true;
                watch_acknowledgement(*send);
                const double arrival_s = arrival(to_worker_[send->to]);
                at(arrival_s, [this, rank = send->to, bytes = encode(send->message)] {
                    deliver(rank, decode_message(bytes));
                });
            } else if (auto* warning = std::get_if<action::Warn>(&action)) {
                mark(warning->text.find("has passed its self-test") != std::string::npos,
                     "a barred worker that comes back");
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
        mark(result.payload.empty(), "a task given up");
        if (result.failure && result.failure->message == "no worker can run it: no such folder") {
            mark(true, "a task that nobody can run");
            for (const auto& [rank, worker] : workers_)
                EXPECT_TRUE(worker.blind.contains(tasks_.at(index).affinity)) << "rank " << rank << " could";
        }
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

    /// Never before what was sent earlier on this link.
    double arrival(double& last_s) {
        last_s = std::max(last_s, now_s_ + uniform(0.0, weather_.max_delay_s));
        return last_s;
    }

    void post(Rank rank, const Message& message) {
        at(arrival(to_manager_[rank]), [this, rank, bytes = encode(message)] {
            feed(event::Received{rank, decode_message(bytes)});
        });
    }

    void deliver(Rank rank, Message message) {
        Worker& worker = workers_.at(rank);
        if (std::holds_alternative<message::Renew>(message)) {
            if (worker.state && !worker.state->said_goodbye()) {
                mark(true, "a worker that starts anew");
                worker.die();
                if (chance(0.5)) worker.device_lost_s = 1e18;
                at(now_s_ + uniform(0.01, 5.0), [this, rank] { start(rank); });
            }
            return;
        }
        const bool finish = std::holds_alternative<message::Finish>(message);
        if (!worker.state) {
            mark(std::holds_alternative<message::Lease>(message), "a lease to a dead process");
            if (finish && !worker.gone) post(rank, message::Goodbye{});
            return;
        }
        if (now_s_ < worker.stalled_until_s) {
            // It has reached the process, and is lost if that dies.
            at(worker.stalled_until_s, [this, &worker, rank, message, life = worker.life] {
                if (worker.life == life) deliver(rank, message);
            });
            return;
        }
        mark_delivery(worker, message);
        worker.state->receive(std::move(message), now_s_);
        step(rank);
    }

    void mark_delivery(const Worker& worker, const Message& message) {
        mark(std::holds_alternative<message::Rejoin>(message), "a lost worker joins again");
        const auto* lease = std::get_if<message::Lease>(&message);
        if (lease == nullptr) return;
        mark(!worker.state->welcomed(), "a lease for the process before");
        for (const LeasedTask& task : lease->tasks) {
            mark(worker.running.contains(task.task.id.value), "a lease of what still runs here");
        }
    }

    void poll_regularly(Rank rank, std::uint64_t life) {
        Worker& worker = workers_.at(rank);
        if (!worker.state || worker.life != life) return;
        step(rank);
        at(now_s_ + 0.7, [this, rank, life] { poll_regularly(rank, life); });
    }

    void step(Rank rank) {
        Worker& worker = workers_.at(rank);
        if (!worker.state || now_s_ < worker.stalled_until_s) return;
        bool dies = false;
        if (!worker.executor_gone(now_s_)) {
            for (const LeasedTask& leased : worker.take(now_s_)) dies |= run_task(rank, worker, leased);
        }
        for (Message& message : worker.state->messages(now_s_)) {
            const auto* sent = std::get_if<message::Result>(&message);
            if (sent != nullptr && !sent->result.failure)
                succeeded_.insert({rank, {sent->result.task, sent->lease}});
            const auto* returned = std::get_if<message::Returned>(&message);
            mark(returned != nullptr && returned->tasks.empty(), "a recall that brings nothing");
            post(rank, message);
        }
        if (dies) crash(rank);
    }

    /// True if the task kills the process.
    bool run_task(Rank rank, Worker& worker, const LeasedTask& leased) {
        const std::uint32_t index = leased.task.id.value;
        ++executions_;
        expect_no_double_execution(index);
        at(now_s_ + leased.task.cost / worker.facts.speed,
           [this, rank, index, life = worker.life] { end_task(rank, index, life); });
        return poison_.contains(index);
    }

    /// Workers that the scheduler never gave up on do not run the same task at the same time.
    void expect_no_double_execution(std::uint32_t index) {
        int running = 0;
        for (const auto& [rank, worker] : workers_) {
            running += !worker.was_lost && worker.running.contains(index) ? 1 : 0;
        }
        EXPECT_LE(running, 1) << "task " << index << " runs twice at " << now_s_;
    }

    void end_task(Rank rank, std::uint32_t index, std::uint64_t life) {
        Worker& worker = workers_.at(rank);
        if (!worker.state || worker.life != life) return;
        if (now_s_ < worker.stalled_until_s) {
            at(worker.stalled_until_s, [=, this] { end_task(rank, index, life); });
            return;
        }
        const auto running = worker.running.find(index);
        if (running == worker.running.end()) return;
        TaskResult result = honest(running->second);
        worker.running.erase(running);
        result.failure = failure_of(worker, index);
        worker.state->finish(std::move(result), now_s_);
        step(rank);
    }

    std::optional<TaskFailure> failure_of(const Worker& worker, std::uint32_t index) {
        if (worker.blind.contains(tasks_.at(index).affinity))
            return TaskFailure{FailureCategory::host, "no such folder"};
        if (permanent_.contains(index)) return TaskFailure{FailureCategory::permanent, "not finite"};
        if (now_s_ > worker.device_lost_s) return TaskFailure{FailureCategory::device_lost, "device is gone"};
        if (!flaky_.contains(index) || flaky_[index] == 0) return std::nullopt;
        --flaky_[index];
        return TaskFailure{FailureCategory::retryable, "out of memory"};
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
        mark(!scheduler_->barred_workers().empty(), "a worker that gets no more tasks");
        mark(!scheduler_->alike_failure().empty(), "a run that ends since all fails alike");
        mark(scheduler_->out_of_time(), "a job that ends");
        for (const Rank rank : scheduler_->missing_goodbyes()) {
            EXPECT_TRUE(workers_.at(rank).gone || workers_.at(rank).stalled_until_s > over_s_)
                << "rank " << rank << " said no goodbye";
        }
        const double innocent_failures = weather_.crash + weather_.death + weather_.stall +
                                         weather_.device_lost + weather_.throwing + weather_.blind +
                                         weather_.poison;
        for (const auto& [index, result] : stored_) {
            if (!result.failure) {
                EXPECT_EQ(text_of(result.payload), "result of task " + std::to_string(index));
                EXPECT_FALSE(permanent_.contains(index) || poison_.contains(index));
            } else if (innocent_failures == weather_.poison) {
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

    static constexpr double kMinSpeed = 0.5;

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
    std::map<Rank, double> to_manager_;  ///< when the last message of the link arrives
    std::map<Rank, double> to_worker_;
    std::uint64_t order_ = 0;
    double now_s_ = 0.0;
    double over_s_ = 0.0;
    double manager_away_until_s_ = -1.0;
    double disk_fails_s_ = 1e18;
    std::set<std::uint32_t> storing_;
    std::map<std::uint32_t, TaskResult> stored_;
    std::set<std::pair<Rank, TaskLease>> succeeded_;  ///< sent by workers
    std::uint64_t executions_ = 0;
    std::set<std::string> marks_;
};

}  // namespace memcap::sched::testing
