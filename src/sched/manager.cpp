// The manager loop: messages to events, actions to messages and to the sink.
#include "memcap/sched/manager.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <limits>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/sched/scheduler.hpp"
#include "sched/detail/doorbell.hpp"

namespace memcap::sched {

namespace {

constexpr int kMessagesPerRound =
    256;  // then results are synced, so that acknowledgements do not wait for long
constexpr double kTick_s = 0.1;
constexpr double kRateWindow_s = 60.0;

std::vector<Rank> worker_ranks(const ManagerSetup& setup) {
    std::vector<Rank> ranks;
    if (setup.local != nullptr) ranks.push_back(0);
    const Rank size = setup.transport != nullptr ? setup.transport->size() : 1;
    for (Rank rank = 1; rank < size; ++rank) ranks.push_back(rank);
    return ranks;
}

/// Turns counts into rates.
class ProgressMeter {
  public:
    explicit ProgressMeter(double now_s) : started_s_(now_s) { samples_.emplace_back(now_s, 0); }

    Progress at(const Scheduler& scheduler, double now_s) {
        const Counts counts = scheduler.counts();
        const UnfinishedWork unfinished = scheduler.unfinished();
        Progress progress;
        progress.total = counts.total;
        progress.done = counts.done;
        progress.failed = counts.failed;
        progress.running = counts.started;
        progress.waiting = counts.total - counts.done - counts.failed - counts.started;
        progress.workers = counts.workers;
        progress.lost_workers = counts.lost_workers;
        progress.elapsed_s = now_s - started_s_;
        progress.stopping = scheduler.stopping();
        progress.unfinished_steps = unfinished.steps;
        const std::uint64_t ended = counts.done + counts.failed;
        samples_.emplace_back(now_s, ended);
        while (samples_.size() > 2 && now_s - samples_[1].first > kRateWindow_s) samples_.pop_front();
        const auto& [since_s, before] = samples_.front();
        if (now_s > since_s) progress.tasks_per_s = static_cast<double>(ended - before) / (now_s - since_s);
        // A task that stops early counts with all its cost once it has ended.
        const double computed = std::min(counts.cost, counts.ended_cost + unfinished.work);
        progress.remaining_s = computed > 0.0 ? progress.elapsed_s * (counts.cost - computed) / computed
                                              : std::numeric_limits<double>::quiet_NaN();
        return progress;
    }

  private:
    double started_s_;
    std::deque<std::pair<double, std::uint64_t>> samples_;
};

class Manager {
  public:
    Manager(ManagerSetup setup, const std::atomic<bool>& stop, double now_s)
        : setup_(std::move(setup)),
          stop_(stop),
          scheduler_(std::move(setup_.tasks), worker_ranks(setup_), setup_.options, now_s),
          meter_(now_s) {
        apply(scheduler_.handle(event::Tick{}, now_s));
    }

    bool step(double now_s) {
        if (stop_.load(std::memory_order_relaxed) && !stop_told_) {
            stop_told_ = true;
            apply(scheduler_.handle(event::StopRequested{}, now_s));
        }
        const bool busy = receive(now_s);
        welcome_those_who_wait();
        store(now_s);
        if (now_s - ticked_s_ >= kTick_s) {
            ticked_s_ = now_s;
            apply(scheduler_.handle(event::Tick{}, now_s));
            store(now_s);
        }
        if (scheduler_.over() && !over_) {
            over_ = true;
            over_s_ = now_s;
        }
        report(now_s);
        return busy;
    }

    /// All reachable workers have gone.
    bool ended(double now_s) const {
        return over_ && (scheduler_.missing_goodbyes().empty() || now_s - over_s_ > setup_.options.finish_s);
    }

    RunOutcome outcome(double now_s) {
        tell(now_s);
        if (setup_.transport != nullptr) setup_.transport->flush(setup_.options.finish_s);
        const Counts counts = scheduler_.counts();
        RunOutcome outcome;
        outcome.done = counts.done;
        outcome.failed = counts.failed;
        outcome.remaining = counts.total + counts.beyond_limit - counts.done - counts.failed;
        outcome.stopped = scheduler_.stopping();
        outcome.stop_reason = scheduler_.stop_reason();
        outcome.out_of_time = scheduler_.out_of_time();
        outcome.alike_failure = scheduler_.alike_failure();
        outcome.barred_workers = scheduler_.barred_workers();
        outcome.lost_workers = static_cast<std::uint32_t>(scheduler_.lost_workers().size() +
                                                          scheduler_.missing_goodbyes().size());
        outcome.store_error = store_error_;
        for (const auto& [rank, error] : worker_errors_) outcome.worker_errors.push_back(error);
        return outcome;
    }

  private:
    bool receive(double now_s) {
        bool busy = false;
        for (Transport* transport : {setup_.local, setup_.transport}) {
            for (int count = 0; transport != nullptr && count < kMessagesPerRound; ++count) {
                const std::optional<Parcel> parcel = transport->poll();
                if (!parcel) break;
                busy = true;
                handle(*parcel, now_s);
            }
        }
        return busy;
    }

    void handle(const Parcel& parcel, double now_s) {
        if (!parcel.failure.empty()) return lose(parcel.from, parcel.failure, now_s);
        try {
            Message message = decode_message(parcel.bytes);
            if (const auto* note = std::get_if<message::Note>(&message)) {
                if (setup_.on_note) setup_.on_note(parcel.from, note->bytes);
                return;
            }
            if (const auto* checkpoint = std::get_if<message::Checkpoint>(&message))
                return keep(parcel.from, *checkpoint);
            note_failure(parcel.from, message);
            apply(scheduler_.handle(event::Received{parcel.from, std::move(message)}, now_s));
        } catch (const TransportError& problem) {
            lose(parcel.from, problem.what(), now_s);
        }
    }

    /// One that cannot be kept costs time if the task is interrupted, so the run goes on.
    void keep(Rank from, const message::Checkpoint& checkpoint) {
        if (!scheduler_.holds(from, checkpoint.which)) return;
        try {
            setup_.sink->checkpoint(scheduler_.task(checkpoint.which.task), checkpoint.state);
            unsynced_checkpoints_ = true;
        } catch (const StoreError& problem) {
            if (!std::exchange(warned_of_checkpoints_, true)) log::warning(problem.what());
        }
    }

    void lose(Rank rank, const std::string& reason, double now_s) {
        apply(scheduler_.handle(event::PeerLost{rank, reason}, now_s));
    }

    void note_failure(Rank from, const Message& message) {
        if (const auto* join = std::get_if<message::Join>(&message)) facts_[from] = join->facts;
        if (std::holds_alternative<message::Crashed>(message)) to_welcome_.erase(from);
        if (const auto* failed = std::get_if<message::Failed>(&message)) {
            worker_errors_.try_emplace(
                from, fmt::format("rank {} ({}): {}", from, facts_[from].host, failed->reason));
        }
    }

    void apply(std::vector<Action> actions) {
        for (Action& action : actions) {
            if (auto* send = std::get_if<action::Send>(&action)) {
                deliver(std::move(*send));
            } else if (auto* store = std::get_if<action::Store>(&action)) {
                to_store_.push_back(std::move(store->result));
            } else if (auto* crash = std::get_if<action::NoteCrash>(&action)) {
                crashes_.push_back(std::move(*crash));
            } else if (auto* attempts = std::get_if<action::NoteAttempts>(&action)) {
                attempts_.push_back(std::move(attempts->note));
            } else {
                log::warning(std::get<action::Warn>(action).text);
            }
        }
    }

    void deliver(action::Send send) {
        if (std::holds_alternative<message::Welcome>(send.message)) {
            to_welcome_.insert(send.to);
            return;
        }
        if (auto* lease = std::get_if<message::Lease>(&send.message); lease && setup_.payload_of) {
            for (LeasedTask& leased : lease->tasks) leased.task.payload = setup_.payload_of(leased.task);
        }
        pass(send.to, send.message);
    }

    void pass(Rank to, const Message& message) {
        Transport* transport = to == 0 ? setup_.local : setup_.transport;
        if (transport != nullptr) transport->send(to, encode(message));
    }

    /// A worker gets nothing else before its welcome, since it asks for tasks only then.
    void welcome_those_who_wait() {
        std::erase_if(to_welcome_, [this](Rank rank) {
            const auto setup = setup_.setup_of ? setup_.setup_of(rank, facts_[rank]) : Bytes();
            if (setup) pass(rank, message::Welcome{setup_.options, *setup});
            return setup.has_value();
        });
    }

    /// Everything of this round is appended, then synced once; only then do the workers hear of it.
    void store(double now_s) {
        note_attempts();
        if (to_store_.empty() && crashes_.empty() && unsynced_checkpoints_) {
            event::StoreFailed failed;
            attempt(failed, [&] { setup_.sink->sync(); });
        }
        unsynced_checkpoints_ = false;
        while (!to_store_.empty() || !crashes_.empty()) {
            event::Stored stored;
            event::StoreFailed failed;
            bool kept_all = true;
            for (const action::NoteCrash& crash : std::exchange(crashes_, {})) {
                kept_all &=
                    attempt(failed, [&] { setup_.sink->crashed(scheduler_.task(crash.task), crash.reason); });
            }
            for (const TaskResult& result : std::exchange(to_store_, {})) {
                const bool kept =
                    attempt(failed, [&] { setup_.sink->append(scheduler_.task(result.task), result); });
                kept_all &= kept;
                (kept ? stored.tasks : failed.tasks).push_back(result.task);
            }
            if (!attempt(failed, [&] { setup_.sink->sync(); })) {
                kept_all = false;
                failed.tasks.insert(failed.tasks.end(), stored.tasks.begin(), stored.tasks.end());
                stored.tasks.clear();
            }
            if (!stored.tasks.empty()) apply(scheduler_.handle(std::move(stored), now_s));
            if (!kept_all) apply(scheduler_.handle(std::move(failed), now_s));
        }
    }

    /// In front of the results that may follow from them. What is noted decides nothing, so the run goes on
    /// where it cannot be kept.
    void note_attempts() {
        for (const AttemptNote& note : std::exchange(attempts_, {})) {
            try {
                setup_.sink->attempted(note);
            } catch (const StoreError& problem) {
                if (!std::exchange(warned_of_attempts_, true)) log::warning(problem.what());
            }
        }
    }

    template <class Action>
    bool attempt(event::StoreFailed& failed, Action action) {
        try {
            action();
            return true;
        } catch (const std::exception& problem) {
            failed.reason = problem.what();
            if (store_error_.empty()) store_error_ = problem.what();
            return false;
        }
    }

    void report(double now_s) {
        if (now_s - reported_s_ < setup_.options.progress_s) return;
        reported_s_ = now_s;
        tell(now_s);
    }

    void tell(double now_s) {
        if (setup_.on_progress) setup_.on_progress(meter_.at(scheduler_, now_s));
        if (setup_.on_look) setup_.on_look(scheduler_);
    }

    ManagerSetup setup_;
    const std::atomic<bool>& stop_;
    Scheduler scheduler_;
    ProgressMeter meter_;
    std::vector<TaskResult> to_store_;
    std::vector<action::NoteCrash> crashes_;
    std::map<Rank, WorkerFacts> facts_;
    std::set<Rank> to_welcome_;
    std::vector<AttemptNote> attempts_;
    std::map<Rank, std::string> worker_errors_;
    std::string store_error_;
    bool unsynced_checkpoints_ = false;
    bool warned_of_checkpoints_ = false;
    bool warned_of_attempts_ = false;
    bool stop_told_ = false;
    bool over_ = false;
    double over_s_ = 0.0;
    double ticked_s_ = 0.0;
    double reported_s_ = 0.0;
};

}  // namespace

RunOutcome run_manager(ManagerSetup setup, const std::atomic<bool>& stop) {
    MEMCAP_EXPECT(setup.tasks.empty() || setup.sink != nullptr);
    PollPause pause(setup.options.poll_min_s, setup.options.poll_max_s);
    const PollHook poll_hook = std::move(setup.poll_hook);
    Manager manager(std::move(setup), stop, monotonic_s());
    for (double now_s = monotonic_s(); !manager.ended(now_s); now_s = monotonic_s()) {
        bool busy = manager.step(now_s);
        if (poll_hook) busy |= poll_hook();
        std::this_thread::sleep_for(std::chrono::duration<double>(pause.after(busy)));
    }
    return manager.outcome(monotonic_s());
}

bool dismiss_workers(Transport& transport, const Options& options) {
    ManagerSetup setup;
    setup.options = options;
    setup.transport = &transport;
    const std::atomic<bool> never = false;
    return run_manager(std::move(setup), never).lost_workers == 0;
}

}  // namespace memcap::sched
