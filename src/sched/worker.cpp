// The worker loop: one thread polls, another computes, and a lock between them.
#include "memcap/sched/worker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/sched/worker_state.hpp"
#include "sched/detail/doorbell.hpp"

namespace memcap::sched {

namespace {

constexpr double kTellStart_s = 1.0;

/// A WorkerState that two threads share; the executor's side of it is the port.
class LockedWorker final : public WorkPort {
  public:
    LockedWorker(WorkerFacts facts, Doorbell& bell) : state_(std::move(facts), monotonic_s()), bell_(bell) {}

    /// Calls `action` with the state, then refreshes the flags and wakes a waiting take() if that can go on.
    template <class Action>
    auto with(Action action) {
        const std::lock_guard lock(mutex_);
        struct Publish {
            LockedWorker& self;
            ~Publish() {
                self.closed_.store(self.state_.closed(), std::memory_order_release);
                if (self.state_.queued() > 0 || self.state_.closed()) self.changed_.notify_all();
            }
        } const publish{*this};
        return action(state_);
    }

    std::vector<LeasedTask> take(std::size_t most, double wait_s) override {
        const auto until = Clock::now() + duration(std::min(wait_s, 1e6));
        std::unique_lock lock(mutex_);
        while (true) {
            std::vector<LeasedTask> taken = state_.take(most, monotonic_s());
            // The polling thread tells what was started, and asks for more if a slot stays free.
            if (most > 0) bell_.ring();
            if (!taken.empty()) wait_until_told(lock);
            if (!taken.empty() || state_.closed() || Clock::now() >= until) return taken;
            changed_.wait_until(lock, until);
        }
    }
    /// The messages to send now; after that and once they have left this process, told() with `takes`.
    std::vector<Message> messages(double now_s, std::uint64_t& takes) {
        takes = takes_;
        return state_.messages(now_s);
    }
    void told(std::uint64_t takes) {
        {
            const std::lock_guard lock(mutex_);
            told_ = takes;
        }
        changed_.notify_all();
    }
    void finish(TaskResult result) override {
        with([&](WorkerState& state) { state.finish(std::move(result), monotonic_s()); });
        bell_.ring();
    }
    void checkpoint(TaskIndex task, Bytes state) override {
        with([&](WorkerState& worker) { worker.checkpoint(task, std::move(state)); });
        bell_.ring();
    }
    void computed(std::uint64_t affinity, double work, double seconds,
                  const UnfinishedWork& unfinished) override {
        with([&](WorkerState& worker) { worker.computed(affinity, work, seconds, unfinished); });
    }
    bool stop_requested() const noexcept override { return closed(); }
    bool closed() const noexcept override { return closed_.load(std::memory_order_acquire); }

    void executor_returned() {
        with([](WorkerState& state) { state.executor_returned(); });
        bell_.ring();
    }
    void executor_threw(const std::string& reason) {
        with([&](WorkerState& state) { state.executor_threw(reason); });
        bell_.ring();
    }

  private:
    using Clock = std::chrono::steady_clock;
    static Clock::duration duration(double seconds) {
        return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    }

    /// A task that kills this process must be known to have been started. A wire that is stuck stops nobody
    /// for long.
    void wait_until_told(std::unique_lock<std::mutex>& lock) {
        const std::uint64_t take = ++takes_;
        changed_.wait_for(lock, duration(kTellStart_s), [&] { return told_ >= take || state_.closed(); });
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    WorkerState state_;
    Doorbell& bell_;
    std::atomic<bool> closed_ = false;
    std::uint64_t takes_ = 0;  ///< that brought tasks
    std::uint64_t told_ = 0;   ///< of these, those whose tasks the manager will hear of
};

/// Driven by calls of step() from the thread that owns the transport.
class WorkerLoop {
  public:
    WorkerLoop(Transport& transport, const WorkerFacts& facts, ExecutorFactory make_executor,
               const std::atomic<bool>& stop, Doorbell& bell);
    /// Closes the port and waits for the executor.
    ~WorkerLoop();
    WorkerLoop(const WorkerLoop&) = delete;
    WorkerLoop& operator=(const WorkerLoop&) = delete;

    /// Receives, computes nothing, sends; true if there was something to do.
    bool step(double now_s);
    /// The worker has said goodbye, or has nobody to say it to.
    bool ended() const { return ended_; }
    /// Waits for the executor; call after the end.
    WorkerOutcome outcome();
    /// The manager's options, once it has said welcome.
    Options options() const;

  private:
    void compute();

    Transport& transport_;
    ExecutorFactory make_executor_;
    const std::atomic<bool>& stop_;
    std::unique_ptr<LockedWorker> worker_;
    std::thread thread_;
    std::uint64_t told_ = 0;  ///< see LockedWorker::told
    bool manager_lost_ = false;
    bool ended_ = false;
};

WorkerLoop::WorkerLoop(Transport& transport, const WorkerFacts& facts, ExecutorFactory make_executor,
                       const std::atomic<bool>& stop, Doorbell& bell)
    : transport_(transport),
      make_executor_(std::move(make_executor)),
      stop_(stop),
      worker_(std::make_unique<LockedWorker>(facts, bell)) {}

WorkerLoop::~WorkerLoop() {
    worker_->with([](WorkerState& state) { state.abandon(); });
    if (thread_.joinable()) thread_.join();
}

bool WorkerLoop::step(double now_s) {
    bool busy = false;
    while (const std::optional<Parcel> parcel = transport_.poll()) {
        busy = true;
        try {
            if (!parcel->failure.empty())
                throw TransportError({.what = parcel->failure, .where = {}, .why = {}, .advice = {}});
            Message message = decode_message(parcel->bytes);
            worker_->with([&](WorkerState& state) { state.receive(std::move(message), now_s); });
        } catch (const TransportError& problem) {
            log::error(fmt::format("the manager is lost: {}", problem.what()));
            manager_lost_ = true;
            break;
        }
    }
    const bool stop = stop_.load(std::memory_order_relaxed);
    std::uint64_t takes = 0;
    const auto [messages, start, give_up] = worker_->with([&](WorkerState& state) {
        if (stop) state.stop();
        const bool may_start = state.welcomed() && !thread_.joinable() && !state.executor_gone();
        if (state.closed() && !thread_.joinable() && !state.executor_gone()) state.executor_returned();
        if (state.manager_lost(now_s) && !state.finished()) {
            log::error("the manager is lost: it has been silent for too long");
            manager_lost_ = true;
        }
        if (manager_lost_) state.abandon();
        std::vector<Message> out = worker_->messages(now_s, takes);
        ended_ = state.said_goodbye();
        return std::tuple(std::move(out), may_start && !state.closed(), manager_lost_);
    });
    if (start) thread_ = std::thread(&WorkerLoop::compute, this);
    if (give_up) {
        ended_ = true;
        return true;
    }
    for (const Message& message : messages) transport_.send(0, encode(message));
    if (takes > told_ && transport_.unsent(0) == 0) worker_->told(told_ = takes);
    return busy || !messages.empty();
}

void WorkerLoop::compute() {
    try {
        const Bytes setup = worker_->with([](WorkerState& state) { return state.setup(); });
        const std::unique_ptr<Executor> executor = make_executor_(setup);
        executor->run(*worker_);
    } catch (const std::exception& problem) {
        worker_->executor_threw(problem.what());
        return;
    } catch (...) {
        worker_->executor_threw("an exception of unknown type");
        return;
    }
    worker_->executor_returned();
}

WorkerOutcome WorkerLoop::outcome() {
    if (thread_.joinable()) thread_.join();
    return worker_->with([&](WorkerState& state) {
        return WorkerOutcome{state.acknowledged(), state.unacknowledged(), manager_lost_, state.failure()};
    });
}

Options WorkerLoop::options() const {
    return worker_->with([](WorkerState& state) { return state.options(); });
}

}  // namespace

WorkerOutcome run_worker(Transport& transport, const WorkerFacts& facts, const ExecutorFactory& make_executor,
                         const std::atomic<bool>& stop, const PollHook& poll_hook) {
    Doorbell bell;
    WorkerLoop worker(transport, facts, make_executor, stop, bell);
    const Options options;
    PollPause pause(options.poll_min_s, options.poll_max_s);
    while (!worker.ended()) {
        bool busy = worker.step(monotonic_s());
        if (poll_hook) busy |= poll_hook();
        if (!worker.ended()) bell.wait(pause.after(busy));
    }
    transport.flush(worker.options().finish_s);
    return worker.outcome();
}

}  // namespace memcap::sched
