// What every whole run must do: one list, run alone, over the serialising network and over MPI.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <ostream>
#include <set>
#include <string>
#include <thread>

#include "memcap/base/clock.hpp"
#include "memcap/sched/local_transport.hpp"
#include "memcap/sched/manager.hpp"
#include "memcap/sched/worker.hpp"
#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {

/// One rank's place in a run. Every rank runs the case with its own end.
struct RunEnd {
    Rank rank = 0;
    Rank size = 1;
    Transport* transport = nullptr;  ///< null for a run of one rank
};

struct RunCase {
    const char* name;
    void (*body)(const RunEnd& end);
};

inline void PrintTo(const RunCase& run, std::ostream* out) {
    *out << run.name;
}

inline WorkerFacts facts_of(Rank rank) {
    return {"host" + std::to_string(rank), "cpu", 1.0, {}};
}

/// Runs the manager and, on a thread of its own, the worker of rank 0.
inline RunOutcome run_manager_beside_worker(ManagerSetup setup, Transport* transport,
                                            const ExecutorFactory& factory, const std::atomic<bool>& stop,
                                            const PollHook& poll_hook = {}) {
    const auto [manager_end, worker_end] = make_local_transport();
    std::thread worker(
        [&factory, &stop, &end = *worker_end] { run_worker(end, facts_of(0), factory, stop); });
    setup.local = manager_end.get();
    setup.transport = transport;
    setup.poll_hook = poll_hook;
    RunOutcome outcome = run_manager(std::move(setup), stop);
    worker.join();
    return outcome;
}

/// Starts manager or worker, whatever this rank is. `outcome` is set on rank 0.
inline RunOutcome run_rank(const RunEnd& end, ManagerSetup setup, const ExecutorFactory& factory,
                           const std::atomic<bool>& stop) {
    if (end.rank > 0) {
        const WorkerOutcome worker = run_worker(*end.transport, facts_of(end.rank), factory, stop);
        EXPECT_FALSE(worker.manager_lost);
        return {};
    }
    return run_manager_beside_worker(std::move(setup), end.transport, factory, stop);
}

inline RunOutcome run_rank(const RunEnd& end, ManagerSetup setup, const ExecutorFactory& factory) {
    const std::atomic<bool> never = false;
    return run_rank(end, std::move(setup), factory, never);
}

inline ManagerSetup setup_of(std::vector<Task> tasks, MemorySink& sink) {
    ManagerSetup setup;
    setup.tasks = std::move(tasks);
    setup.sink = &sink;
    setup.options = quick_options();
    setup.options.worker_deadline_s = 5.0;
    return setup;
}

inline void expect_each_once(const MemorySink& sink, std::size_t tasks) {
    EXPECT_EQ(sink.results.size(), tasks);
    for (const auto& [index, results] : sink.results) EXPECT_EQ(results.size(), 1u) << "task " << index;
    EXPECT_TRUE(sink.unsynced.empty());
}

inline void run_everything(const RunEnd& end) {
    constexpr std::uint32_t kTasks = 300;
    MemorySink sink;
    const auto factory = [&](std::span<const std::byte>) {
        return std::make_unique<StubExecutor>(4, [&](const LeasedTask& leased) {
            sleep_s(0.0005);
            TaskResult result = honest(leased);
            result.payload = bytes_of(text_of(result.payload) + " by " + std::to_string(end.rank));
            return result;
        });
    };
    const RunOutcome outcome = run_rank(end, setup_of(make_tasks(kTasks, 3), sink), factory);
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.done, kTasks);
    EXPECT_EQ(outcome.failed + outcome.remaining, 0u);
    expect_each_once(sink, kTasks);
    std::set<std::string> ranks;
    for (const auto& [index, results] : sink.results) {
        const std::string text = text_of(results[0].payload);
        const std::size_t by = text.find(" by ");
        EXPECT_EQ(text.substr(0, by), "result of " + std::to_string(index));
        ranks.insert(text.substr(by + 4));
    }
    EXPECT_EQ(outcome.lost_workers, 0u);
    EXPECT_EQ(ranks.size(), static_cast<std::size_t>(end.size)) << "somebody did nothing";
}

/// Payloads that are made when they are leased, and made again for another attempt.
inline void run_late_payloads(const RunEnd& end) {
    constexpr std::uint32_t kTasks = 40;
    MemorySink sink;
    std::vector<Task> tasks = make_tasks(kTasks);
    for (Task& task : tasks) task.payload.clear();
    ManagerSetup setup = setup_of(std::move(tasks), sink);
    std::size_t made = 0;
    setup.payload_of = [&made](const Task& task) {
        ++made;
        return bytes_of("late " + std::to_string(task.id.value));
    };
    const auto factory = [](std::span<const std::byte>) {
        return std::make_unique<StubExecutor>(3, [](const LeasedTask& leased) {
            TaskResult result = honest(leased);
            result.payload = leased.task.payload;
            if (leased.task.id.value == 7 && leased.attempt == 1)
                result.failure = TaskFailure{FailureCategory::retryable, "once"};
            return result;
        });
    };
    const RunOutcome outcome = run_rank(end, std::move(setup), factory);
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.done, kTasks);
    expect_each_once(sink, kTasks);
    for (const auto& [index, results] : sink.results)
        EXPECT_EQ(text_of(results[0].payload), "late " + std::to_string(index));
    EXPECT_GT(made, kTasks);
}

inline void run_one_task(const RunEnd& end) {
    MemorySink sink;
    const RunOutcome outcome = run_rank(end, setup_of(make_tasks(1), sink), honest_factory());
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.done, 1u);
    expect_each_once(sink, 1);
    EXPECT_EQ(outcome.lost_workers, 0u);
}

inline void run_nothing(const RunEnd& end) {
    MemorySink sink;
    const RunOutcome outcome = run_rank(end, setup_of({}, sink), honest_factory());
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.done + outcome.failed + outcome.remaining, 0u);
    EXPECT_FALSE(outcome.stopped);
    EXPECT_EQ(outcome.lost_workers, 0u);
}

inline void run_failures(const RunEnd& end) {
    MemorySink sink;
    const auto factory = [](std::span<const std::byte>) {
        return std::make_unique<StubExecutor>(3, [](const LeasedTask& leased) {
            TaskResult result = honest(leased);
            const std::uint32_t index = leased.task.id.value;
            if (index % 10 == 3) result.failure = TaskFailure{FailureCategory::permanent, "not finite"};
            if (index % 10 == 5) result.failure = TaskFailure{FailureCategory::retryable, "out of memory"};
            if (index % 10 == 7 && leased.attempt == 1) {
                result.failure = TaskFailure{FailureCategory::retryable, "once"};
            }
            return result;
        });
    };
    const RunOutcome outcome = run_rank(end, setup_of(make_tasks(100, 2), sink), factory);
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.done, 80u);
    EXPECT_EQ(outcome.failed, 20u);
    EXPECT_EQ(outcome.remaining, 0u);
    expect_each_once(sink, 100);
    for (const auto& [index, results] : sink.results) {
        const bool fails = index % 10 == 3 || index % 10 == 5;
        EXPECT_EQ(results[0].failure.has_value(), fails);
        EXPECT_EQ(results[0].attempt, index % 10 == 5 ? 3u : index % 10 == 7 ? 2u : 1u);
        if (index % 10 == 5) {
            EXPECT_EQ(results[0].failure->message, "out of memory");
        }
        EXPECT_FALSE(results[0].payload.empty());
    }
}

/// The executor of the last rank throws after some tasks; the others finish everything.
inline void run_exception(const RunEnd& end) {
    MemorySink sink;
    const bool throws = end.rank == end.size - 1;
    const auto factory = [&](std::span<const std::byte>) {
        return std::make_unique<StubExecutor>(2, [throws, count = 0](const LeasedTask& leased) mutable {
            sleep_s(0.002);
            if (throws && ++count == 3) throw std::runtime_error("illegal instruction");
            return honest(leased);
        });
    };
    const RunOutcome outcome = run_rank(end, setup_of(make_tasks(60), sink), factory);
    if (end.rank > 0) return;
    ASSERT_EQ(outcome.worker_errors.size(), 1u);
    const std::string host =
        "rank " + std::to_string(end.size - 1) + " (host" + std::to_string(end.size - 1) + ")";
    EXPECT_EQ(outcome.worker_errors[0], host + ": illegal instruction");
    ASSERT_FALSE(sink.crashes.empty());
    EXPECT_NE(sink.crashes[0].second.find("illegal instruction"), std::string::npos);
    EXPECT_EQ(outcome.failed, 0u);
    EXPECT_EQ(outcome.done, end.size > 1 ? 60u : 2u);
    EXPECT_EQ(outcome.stopped, end.size == 1);
    EXPECT_EQ(outcome.done + outcome.remaining, 60u);
    expect_each_once(sink, outcome.done);
}

/// The last rank cannot read the model: the others compute everything, and it is named.
inline void run_blind_rank(const RunEnd& end) {
    MemorySink sink;
    const bool blind = end.rank == end.size - 1;
    const auto factory = [&](std::span<const std::byte>) {
        return std::make_unique<StubExecutor>(4, [blind](const LeasedTask& leased) {
            sleep_s(0.001);
            TaskResult result = honest(leased);
            if (blind) result.failure = TaskFailure{FailureCategory::host, "no such folder"};
            return result;
        });
    };
    const RunOutcome outcome = run_rank(end, setup_of(make_tasks(60), sink), factory);
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.failed, 0u);
    EXPECT_EQ(outcome.done, end.size > 1 ? 60u : 0u);
    ASSERT_EQ(outcome.barred_workers.size(), 1u);
    const std::string last = std::to_string(end.size - 1);
    EXPECT_EQ(outcome.barred_workers[0], "rank " + last + " (host" + last + "): no such folder");
    EXPECT_EQ(outcome.alike_failure.empty(), end.size > 1) << outcome.alike_failure;
}

/// Every task fails for good in the same way: most of them are not even tried.
inline void run_alike_failures(const RunEnd& end) {
    MemorySink sink;
    const auto factory = [](std::span<const std::byte>) {
        return std::make_unique<StubExecutor>(2, [](const LeasedTask& leased) {
            sleep_s(0.002);
            TaskResult result = honest(leased);
            result.failure = TaskFailure{FailureCategory::permanent, "not finite"};
            return result;
        });
    };
    const RunOutcome outcome = run_rank(end, setup_of(make_tasks(2000), sink), factory);
    if (end.rank > 0) return;
    EXPECT_TRUE(outcome.stopped);
    EXPECT_NE(outcome.alike_failure.find("not finite"), std::string::npos) << outcome.alike_failure;
    EXPECT_EQ(outcome.stop_reason, outcome.alike_failure);
    EXPECT_LT(outcome.failed, 500u);
    EXPECT_EQ(outcome.failed + outcome.remaining, 2000u);
}

inline void run_bad_factory(const RunEnd& end) {
    MemorySink sink;
    const ExecutorFactory factory = [](std::span<const std::byte>) -> std::unique_ptr<Executor> {
        throw std::runtime_error("no such model");
    };
    const RunOutcome outcome = run_rank(end, setup_of(make_tasks(5), sink), factory);
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.remaining, 5u);
    EXPECT_TRUE(outcome.stopped);
    EXPECT_EQ(outcome.worker_errors.size(), static_cast<std::size_t>(end.size));
}

/// The manager's process is told to stop while every rank is busy with long tasks.
inline void run_stop(const RunEnd& end) {
    MemorySink sink;
    std::atomic<bool> stop = false;
    class LongExecutor final : public Executor {
      public:
        LongExecutor(std::atomic<bool>& token, Rank rank) : token_(token), rank_(rank) {}
        void run(WorkPort& port) override {
            for (int count = 0; !port.closed(); ++count) {
                const std::vector<LeasedTask> tasks = port.take(1, 0.05);
                if (tasks.empty()) continue;
                if (rank_ == 0 && count >= 5) token_ = true;
                const double until_s = monotonic_s() + (count < 5 ? 0.005 : 30.0);
                while (monotonic_s() < until_s && !port.stop_requested()) sleep_s(0.001);
                if (!port.stop_requested()) port.finish(honest(tasks[0]));
            }
        }

      private:
        std::atomic<bool>& token_;
        Rank rank_;
    };
    const double start_s = monotonic_s();
    const RunOutcome outcome = run_rank(
        end, setup_of(make_tasks(500), sink),
        [&](std::span<const std::byte>) { return std::make_unique<LongExecutor>(stop, end.rank); }, stop);
    EXPECT_LT(monotonic_s() - start_s, 15.0);
    if (end.rank > 0) return;
    EXPECT_TRUE(outcome.stopped);
    EXPECT_GE(outcome.done, 5u);
    EXPECT_EQ(outcome.failed, 0u);
    EXPECT_EQ(outcome.done + outcome.remaining, 500u);
    expect_each_once(sink, outcome.done);
    EXPECT_EQ(outcome.lost_workers, 0u);
}

inline void run_full_disk(const RunEnd& end) {
    MemorySink sink;
    sink.fail_after = 10;
    const RunOutcome outcome = run_rank(end, setup_of(make_tasks(200), sink), honest_factory(2, 0.001));
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.done, 10u);
    EXPECT_EQ(outcome.remaining, 190u);
    EXPECT_TRUE(outcome.stopped);
    EXPECT_NE(outcome.store_error.find("no space left"), std::string::npos);
    expect_each_once(sink, 10);
}

inline void run_limit(const RunEnd& end) {
    MemorySink sink;
    ManagerSetup setup = setup_of(make_tasks(50), sink);
    setup.options.limit = 12;
    const RunOutcome outcome = run_rank(end, std::move(setup), honest_factory());
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.done, 12u);
    EXPECT_EQ(outcome.remaining, 38u);
    EXPECT_FALSE(outcome.stopped);
    ASSERT_EQ(sink.results.size(), 12u);
    EXPECT_EQ(sink.results.rbegin()->first, 11u) << "the limit takes the first tasks of the list";
}

inline void run_setup_bytes(const RunEnd& end) {
    MemorySink sink;
    ManagerSetup setup = setup_of(make_tasks(30), sink);
    // Some of it is not known at once.
    setup.setup_of = [asked = 0](Rank, const WorkerFacts& facts) mutable -> std::optional<Bytes> {
        if (facts.host.empty() || ++asked < 10) return std::nullopt;
        return bytes_of("three models");
    };
    const auto factory = [](std::span<const std::byte> bytes) {
        EXPECT_EQ(text_of(bytes), "three models");
        return std::make_unique<StubExecutor>(1, honest);
    };
    const RunOutcome outcome = run_rank(end, std::move(setup), factory);
    if (end.rank > 0) return;
    EXPECT_EQ(outcome.done, 30u);
}

inline void run_progress(const RunEnd& end) {
    MemorySink sink;
    ManagerSetup setup = setup_of(make_tasks(100), sink);
    std::vector<Progress> seen;
    setup.options.progress_s = 0.02;
    setup.on_progress = [&](const Progress& progress) { seen.push_back(progress); };
    const double start_s = monotonic_s();
    run_rank(end, std::move(setup), honest_factory(1, 0.002));
    if (end.rank > 0) return;
    ASSERT_GE(seen.size(), 2u);
    EXPECT_LE(static_cast<double>(seen.size()), 3.0 + (monotonic_s() - start_s) / 0.02);
    for (const Progress& progress : seen) {
        EXPECT_EQ(progress.done + progress.failed + progress.running + progress.waiting, 100u);
    }
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end(),
                               [](const Progress& a, const Progress& b) { return a.done < b.done; }));
    EXPECT_EQ(seen.back().done, 100u);
    EXPECT_EQ(seen.back().remaining_s, 0.0);
    EXPECT_GT(seen.back().tasks_per_s, 0.0);
}

/// Rank 0 finds a mistake in the configuration while the others already wait.
inline void run_dismissal(const RunEnd& end) {
    if (end.transport == nullptr) return;
    if (end.rank == 0) {
        Options options = quick_options();
        options.finish_s = 10.0;
        EXPECT_TRUE(dismiss_workers(*end.transport, options));
        return;
    }
    const std::atomic<bool> never = false;
    const WorkerOutcome outcome = run_worker(*end.transport, facts_of(end.rank), honest_factory(), never);
    EXPECT_EQ(outcome.finished, 0u);
    EXPECT_FALSE(outcome.manager_lost);
}

inline const RunCase kRunCases[] = {
    {"EveryTaskEndsOnceAndEveryRankComputes", run_everything},
    {"PayloadsMayComeWithTheLease", run_late_payloads},
    {"MoreRanksThanTasks", run_one_task},
    {"NothingToDo", run_nothing},
    {"FailuresAreRetriedOrKept", run_failures},
    {"AnExceptionEndsOneWorkerNotTheRun", run_exception},
    {"ARankThatCannotReadTheModelIsBarredAndNamed", run_blind_rank},
    {"FailuresThatAreAllAlikeEndTheRun", run_alike_failures},
    {"AFactoryThatThrowsEverywhereEndsTheRun", run_bad_factory},
    {"AStopKeepsWhatIsFinished", run_stop},
    {"AFullDiskStopsTheRunAndKeepsWhatIsStored", run_full_disk},
    {"TheLimitIsTheFirstTasks", run_limit},
    {"SetupReachesEveryExecutor", run_setup_bytes},
    {"ProgressAddsUp", run_progress},
    {"WorkersCanBeDismissed", run_dismissal},
};

}  // namespace memcap::sched::testing
