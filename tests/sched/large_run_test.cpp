// What a large run costs the manager: workers in simulated time, the manager's part on a real clock. By
// default a small one, as a test; MEMCAP_LARGE_RANKS and MEMCAP_LARGE_TASKS ask for another size.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "memcap/sched/scheduler.hpp"
#include "sched/simulated_worker.hpp"
#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {
namespace {

constexpr double kTick_s = 0.1;
constexpr double kLatency_s = 0.001;
constexpr std::size_t kRecord_bytes = 2500;

double thread_cpu_s() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::uint32_t number_from(const char* variable, std::uint32_t otherwise) {
    const char* text = std::getenv(variable);
    return text == nullptr ? otherwise : static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

/// A run without faults but for the one crash of every hundredth process.
class LargeRun {
  public:
    LargeRun(std::uint32_t ranks, std::uint32_t tasks) : workers_(ranks) {
        std::vector<Rank> all;
        for (std::uint32_t i = 0; i < ranks; ++i) {
            all.push_back(static_cast<Rank>(i));
            workers_[i].slots = 4;
            workers_[i].facts = {fmt::format("node{}", i / 8), "cpu", 1.0 + 0.1 * (i % 3), {}};
            workers_[i].start(0.0);
            push({.time_s = 0.05 * uniform(), .kind = Kind::poll, .rank = static_cast<Rank>(i)});
            if (i % 100 == 7) push({.time_s = 120.0, .kind = Kind::crash, .rank = static_cast<Rank>(i)});
        }
        std::vector<Task> list;
        for (std::uint32_t i = 0; i < tasks; ++i) {
            Task task;
            task.key = Id128{1, i};
            task.affinity = i % 5;
            task.cost = 20.0 + 20.0 * uniform();  // seconds on a worker of speed 1
            list.push_back(std::move(task));
        }
        const double start_s = thread_cpu_s();
        scheduler_.emplace(std::move(list), all, options_, 0.0);
        setup_s_ = thread_cpu_s() - start_s;
        push({.time_s = 0.0, .kind = Kind::tick});
    }

    void run() {
        while (!events_.empty() && !(scheduler_->over() && scheduler_->missing_goodbyes().empty())) {
            std::pop_heap(events_.begin(), events_.end());
            Timed next = std::move(events_.back());
            events_.pop_back();
            now_s_ = next.time_s;
            ASSERT_LT(now_s_, 1e5) << "the run does not end";
            dispatch(next);
        }
        close_window();
    }

    void print() const {
        const Counts counts = scheduler_->counts();
        fmt::print(
            "{} ranks, {} tasks: {:.0f} s simulated, {} messages to the manager, {:.2f} s of its time "
            "({:.2f} %, {:.1f} us a message, {:.1f} us a task), worst 100 ms: {:.1f} ms at {:.1f} s, worst "
            "event: {:.2f} ms, setup {:.2f} s, peak {:.0f} tasks/s\n",
            workers_.size(), counts.total, now_s_, messages_, busy_s_, 100.0 * busy_s_ / now_s_,
            1e6 * busy_s_ / static_cast<double>(messages_), 1e6 * busy_s_ / static_cast<double>(counts.total),
            1e3 * worst_window_s_, worst_at_s_, 1e3 * worst_event_s_, setup_s_,
            static_cast<double>(counts.total) / now_s_);
    }

    Counts counts() const { return scheduler_->counts(); }
    double busy_share() const { return busy_s_ / now_s_; }
    double message_s() const { return busy_s_ / static_cast<double>(messages_); }

  private:
    enum class Kind : std::uint8_t { tick, to_manager, to_worker, poll, task_end, crash };
    struct Timed {
        double time_s = 0.0;
        std::uint64_t order = 0;
        Kind kind = Kind::tick;
        Rank rank = 0;
        std::uint32_t task = 0;
        std::uint64_t life = 1;
        Bytes bytes = {};
        bool operator<(const Timed& other) const {
            return std::pair(time_s, order) > std::pair(other.time_s, other.order);
        }
    };

    double uniform() { return std::uniform_real_distribution<double>()(random_); }
    SimulatedWorker& worker(Rank rank) { return workers_[static_cast<std::size_t>(rank)]; }

    void push(Timed event) {
        event.order = ++order_;
        events_.push_back(std::move(event));
        std::push_heap(events_.begin(), events_.end());
    }

    void dispatch(Timed& event) {
        switch (event.kind) {
            case Kind::tick:
                close_window();
                on_manager([&] { act(scheduler_->handle(event::Tick{}, now_s_)); });
                push({.time_s = now_s_ + kTick_s, .kind = Kind::tick});
                break;
            case Kind::to_manager:
                ++messages_;
                on_manager([&] {
                    act(scheduler_->handle(event::Received{event.rank, decode_message(event.bytes)}, now_s_));
                    store();
                });
                break;
            case Kind::to_worker:
                if (!worker(event.rank).state) break;
                worker(event.rank).state->receive(decode_message(event.bytes), now_s_);
                step(event.rank);
                break;
            case Kind::poll:
                if (!worker(event.rank).state || worker(event.rank).life != event.life) break;
                step(event.rank);
                push({.time_s = now_s_ + options_.heartbeat_s,
                      .kind = Kind::poll,
                      .rank = event.rank,
                      .life = event.life});
                break;
            case Kind::task_end:
                end_task(event);
                break;
            case Kind::crash:
                crash(event.rank);
                break;
        }
    }

    template <class Work>
    void on_manager(Work work) {
        const double start_s = thread_cpu_s();
        work();
        const double spent_s = thread_cpu_s() - start_s;
        busy_s_ += spent_s;
        window_s_ += spent_s;
        worst_event_s_ = std::max(worst_event_s_, spent_s);
        for (auto& [rank, bytes] : std::exchange(sent_, {})) {
            push({.time_s = now_s_ + kLatency_s,
                  .kind = Kind::to_worker,
                  .rank = rank,
                  .bytes = std::move(bytes)});
        }
    }
    void close_window() {
        if (window_s_ > worst_window_s_) {
            worst_window_s_ = window_s_;
            worst_at_s_ = now_s_;
        }
        window_s_ = 0.0;
    }

    void act(std::vector<Action> actions) {
        for (Action& action : actions) {
            if (auto* send = std::get_if<action::Send>(&action)) {
                if (auto* welcome = std::get_if<message::Welcome>(&send->message))
                    welcome->options = options_;
                sent_.emplace_back(send->to, encode(send->message));
            } else if (auto* kept = std::get_if<action::Store>(&action)) {
                to_store_.push_back(kept->result.task);
            }
        }
    }
    void store() {
        if (!to_store_.empty()) act(scheduler_->handle(event::Stored{std::exchange(to_store_, {})}, now_s_));
    }

    void step(Rank rank) {
        SimulatedWorker& self = worker(rank);
        if (!self.executor_gone(now_s_)) {
            for (const LeasedTask& leased : self.take(now_s_)) {
                push({.time_s = now_s_ + leased.task.cost / self.facts.speed,
                      .kind = Kind::task_end,
                      .rank = rank,
                      .task = leased.task.id.value,
                      .life = self.life});
            }
        }
        for (const Message& message : self.state->messages(now_s_)) post(rank, message);
    }
    void post(Rank rank, const Message& message) {
        push({.time_s = now_s_ + kLatency_s,
              .kind = Kind::to_manager,
              .rank = rank,
              .bytes = encode(message)});
    }
    void end_task(const Timed& event) {
        SimulatedWorker& self = worker(event.rank);
        if (!self.state || self.life != event.life) return;
        const auto running = self.running.find(event.task);
        if (running == self.running.end()) return;
        TaskResult result = honest(running->second);
        result.payload.resize(kRecord_bytes);
        self.running.erase(running);
        self.state->finish(std::move(result), now_s_);
        step(event.rank);
    }
    void crash(Rank rank) {
        SimulatedWorker& self = worker(rank);
        if (!self.state || scheduler_->over()) return;
        self.die();
        post(rank, message::Crashed{"killed"});
        self.start(now_s_);
        push({.time_s = now_s_ + 5.0, .kind = Kind::poll, .rank = rank, .life = self.life});
    }

    Options options_;
    std::mt19937_64 random_{3};
    std::vector<SimulatedWorker> workers_;
    std::optional<Scheduler> scheduler_;
    std::vector<Timed> events_;
    std::vector<TaskIndex> to_store_;
    std::vector<std::pair<Rank, Bytes>> sent_;
    std::uint64_t order_ = 0;
    std::uint64_t messages_ = 0;
    double now_s_ = 0.0;
    double setup_s_ = 0.0;
    double busy_s_ = 0.0;
    double window_s_ = 0.0;
    double worst_window_s_ = 0.0;
    double worst_at_s_ = 0.0;
    double worst_event_s_ = 0.0;
};

TEST(LargeRun, CostsTheManagerHardlyMoreForEachMessageThanASmallOne) {
    LargeRun small(100, 3000);
    small.run();
    const std::uint32_t ranks = number_from("MEMCAP_LARGE_RANKS", 3000);
    LargeRun large(ranks, number_from("MEMCAP_LARGE_TASKS", 30 * ranks));
    large.run();
    for (const LargeRun* run : {&small, &large}) {
        run->print();
        EXPECT_EQ(run->counts().done, run->counts().total);
        EXPECT_LT(run->busy_share(), 0.3);
    }
    // Thirty times as many workers: looking at all of them for a message would show.
    EXPECT_LT(large.message_s(), 5.0 * small.message_s());
}

}  // namespace
}  // namespace memcap::sched::testing
