// The scheduler, scripted: whose fault a failure is, where a task is tried again, who gets no more tasks, and
// when the run ends instead.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/script.hpp"

namespace memcap::sched::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const TaskFailure kFlaky{FailureCategory::retryable, "out of memory"};
const TaskFailure kDeviceLost{FailureCategory::device_lost, "GPU fell off the bus"};
const TaskFailure kBlind{FailureCategory::host, "cannot read /models/small"};

TEST(Retries, GoToAnotherWorkerIfThereIsOne) {
    Script script(equal_tasks(1), {0, 1});
    script.join(0);
    script.join(1);
    script.take(0, 1);
    script.result(0, 0, kFlaky);
    EXPECT_THAT(script.want(0, 1, 1), IsEmpty());
    EXPECT_THAT(numbers(script.take(1, 1)), ElementsAre(0));
    script.result(1, 0, kFlaky);
    EXPECT_THAT(numbers(script.leased_to(0)), ElementsAre(0)) << "it failed there less recently";
}

TEST(Retries, GoToAnotherHostAfterTwoFailuresOnOne) {
    Script script(equal_tasks(1), {0, 1, 2});
    script.join(0, 1.0, "a");
    script.join(1, 1.0, "a");
    script.join(2, 1.0, "b");
    for (const Rank rank : {0, 1}) {
        ASSERT_THAT(numbers(script.take(rank, 1)), ElementsAre(0));
        script.result(rank, 0, kFlaky);
    }
    EXPECT_THAT(script.want(0, 1, 1), IsEmpty());
    EXPECT_THAT(script.want(1, 1, 1), IsEmpty());
    EXPECT_THAT(script.to_store, IsEmpty());
    const std::vector<LeasedTask> third = script.take(2, 1);
    ASSERT_THAT(numbers(third), ElementsAre(0));
    EXPECT_EQ(third[0].attempt, 3u);
}

TEST(Retries, StayWhereTheyAreWhenTheOtherHostIsGone) {
    Script script(equal_tasks(1), {0, 1});
    script.join(0, 1.0, "a");
    script.join(1, 1.0, "b");
    script.take(0, 1);
    script.result(0, 0, kFlaky);
    ASSERT_THAT(script.want(0, 1, 1), IsEmpty());
    script.sent.clear();
    script.feed(event::PeerLost{1, "unreachable"});
    EXPECT_THAT(numbers(script.leased_to(0)), ElementsAre(0));
}

TEST(Bars, AWorkerWhoseDeviceIsLostThreeTimesInARowGetsNoMoreTasks) {
    Script script(equal_tasks(9), {0, 1});
    script.join(0);
    script.join(1);
    script.take(0, 4);
    script.result(0, 0, kDeviceLost);
    script.result(0, 1);
    script.result(0, 2, kDeviceLost);
    script.result(0, 3, kDeviceLost);
    EXPECT_THAT(script.scheduler.barred_workers(), IsEmpty()) << "it has finished a task between them";
    const std::vector<LeasedTask> next = script.want(0, 2, 2);
    ASSERT_EQ(next.size(), 2u);
    script.start(0, {next[0].task.id.value});
    script.result(0, next[0].task.id.value, kDeviceLost);
    EXPECT_THAT(script.told<message::Renew>(), ElementsAre(0));
    EXPECT_THAT(script.warnings.back(), HasSubstr("rank 0 (node) gets no more work: 3 crashes"));
    EXPECT_THAT(script.scheduler.barred_workers(), ElementsAre(HasSubstr("GPU fell off the bus")));
    EXPECT_THAT(script.want(0, 3, 3), IsEmpty());
    EXPECT_THAT(script.scheduler.explain_worker(0, 0.0), HasSubstr("GPU fell off the bus"));
    EXPECT_FALSE(script.scheduler.stopping());
}

TEST(Bars, AProcessThatCrashesThreeTimesAndBeforeItsSelfTestHasPassedEndsTheRunIfItIsAlone) {
    Script script(equal_tasks(9), {0});
    for (int crash = 1; crash <= 4; ++crash) {
        EXPECT_FALSE(script.scheduler.stopping());
        script.join(0);
        script.receive(0, message::Crashed{"killed by SIGSEGV"});
    }
    EXPECT_TRUE(script.scheduler.stopping());
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_THAT(script.scheduler.stop_reason(), HasSubstr("no worker is left"));
    EXPECT_THAT(script.scheduler.stop_reason(), HasSubstr("killed by SIGSEGV"));
    EXPECT_THAT(script.to_store, IsEmpty());
}

TEST(Bars, DoNotCountTasksThatHaveKilledOtherWorkers) {
    std::vector<Task> tasks = equal_tasks(3);
    for (Task& task : tasks) task.strikes = 1;
    Script script(std::move(tasks), {0});
    for (int crash = 1; crash <= 6; ++crash) {
        script.last_lease[0] = {};
        script.join(0);
        ASSERT_EQ(script.take(0, 4).size(), 1u);
        script.receive(0, message::Crashed{"killed by SIGSEGV"});
    }
    EXPECT_EQ(script.to_store.size(), 3u);
    EXPECT_THAT(script.scheduler.barred_workers(), IsEmpty());
    script.store_all();
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_FALSE(script.scheduler.stopping());
}

/// Three crashes in a row, each before the process was given anything.
void crash_three_times(Script& script, Rank rank, const std::string& device = "") {
    for (int crash = 1; crash <= 3; ++crash) {
        script.join(rank, 1.0, "node", device);
        script.receive(rank, message::Crashed{"killed by SIGSEGV"});
    }
}

TEST(Bars, AreLiftedOnceAFreshProcessAsksForTasks) {
    Script script(equal_tasks(9), {0, 1});
    crash_three_times(script, 0);
    script.join(0);
    EXPECT_THAT(script.scheduler.barred_workers(), ElementsAre(HasSubstr("killed by SIGSEGV")));
    script.receive(0, message::Status{{}, 0, 2, {}});
    EXPECT_THAT(script.scheduler.barred_workers(), Not(IsEmpty())) << "the self-test has not passed yet";
    EXPECT_THAT(script.want(0, 2, 2), Not(IsEmpty()));
    EXPECT_THAT(script.warnings.back(), HasSubstr("rank 0 (node) has passed its self-test"));
    EXPECT_THAT(script.scheduler.barred_workers(), IsEmpty());
}

TEST(Bars, TheSecondTimeAreForGood) {
    Script script(equal_tasks(9), {0, 1});
    crash_three_times(script, 0);
    script.join(0);
    ASSERT_THAT(script.want(0, 1, 1), Not(IsEmpty()));
    script.receive(0, message::Crashed{"killed by SIGSEGV"});
    crash_three_times(script, 0);
    script.join(0);
    EXPECT_THAT(script.want(0, 2, 2), IsEmpty());
    EXPECT_THAT(script.scheduler.barred_workers(), ElementsAre(HasSubstr("rank 0 (node)")));
}

TEST(Bars, HoldForTheDeviceWhateverRankComputesOnIt) {
    Script script(equal_tasks(9), {0, 1, 2, 3});
    script.join(1, 1.0, "node", "GPU-a");
    script.join(2, 1.0, "node", "GPU-b");
    ASSERT_EQ(script.take(1, 2).size(), 2u);
    script.sent.clear();
    crash_three_times(script, 0, "GPU-a");
    EXPECT_THAT(script.told<message::Renew>(), ElementsAre(1));
    EXPECT_THAT(script.scheduler.barred_workers(),
                ElementsAre(HasSubstr("(GPU-a)"), HasSubstr("its device is that of rank 0")));
    EXPECT_THAT(script.crashes, IsEmpty()) << "the tasks of the other rank are not to blame";
    // One that comes later has to prove it as well.
    script.join(3, 1.0, "node", "GPU-a");
    EXPECT_EQ(script.scheduler.barred_workers().size(), 3u);
    EXPECT_THAT(script.want(2, 1, 1), Not(IsEmpty())) << "the other device is none of it";
    script.join(1, 1.0, "node", "GPU-a");
    EXPECT_THAT(script.want(1, 1, 1), Not(IsEmpty()));
    EXPECT_EQ(script.scheduler.barred_workers().size(), 2u);
}

/// All have computed for a minute at their speeds, and have been compared before.
void compute_a_minute(Script& script, const std::vector<double>& speeds, double busy_s = 50.0) {
    for (int minute = 1; minute <= 2; ++minute) {
        for (Rank rank = 0; rank < static_cast<Rank>(speeds.size()); ++rank) {
            const double seconds = busy_s * minute;
            script.receive(
                rank,
                message::Heartbeat{{7, 1e9 * speeds[static_cast<std::size_t>(rank)] * seconds, seconds}, {}});
        }
        if (minute == 2) script.now_s += 50.0;
        script.now_s += 11.0;
        script.sent.clear();
        script.feed(event::Tick{});
    }
}

Script script_of(Rank workers, Rank others_from = 100) {
    std::vector<Rank> ranks;
    for (Rank rank = 0; rank < workers; ++rank) ranks.push_back(rank);
    Options options;
    options.worker_deadline_s = 1e6;
    Script script(equal_tasks(99), ranks, options);
    for (const Rank rank : ranks)
        script.receive(rank, message::Join{{"node", rank < others_from ? "GPU" : "CPU", 1.0, {}}});
    return script;
}

TEST(Bars, AWorkerTenTimesSlowerThanItsLikeGetsNoMoreTasks) {
    Script script = script_of(5);
    for (Rank rank = 0; rank < 5; ++rank) ASSERT_EQ(script.take(rank, 1).size(), 1u);
    compute_a_minute(script, {10.0, 11.0, 0.9, 9.0, 10.0});
    EXPECT_THAT(script.told<message::Renew>(), ElementsAre(2));
    EXPECT_THAT(script.scheduler.barred_workers(),
                ElementsAre(HasSubstr("rank 2 (node): it is slow: 0.9 GFLOP/s")));
    EXPECT_THAT(script.crashes, IsEmpty());
    EXPECT_EQ(script.scheduler.counts().started, 4u) << "what it ran waits for another one";
}

TEST(Bars, SpeedsOfFewOfOtherDevicesOrOfASecondSayNothing) {
    Script few = script_of(3);
    compute_a_minute(few, {10.0, 10.0, 0.1});
    EXPECT_THAT(few.scheduler.barred_workers(), IsEmpty());
    Script mixed = script_of(5, 4);
    compute_a_minute(mixed, {10.0, 10.0, 10.0, 10.0, 0.1});
    EXPECT_THAT(mixed.scheduler.barred_workers(), IsEmpty()) << "a CPU among GPUs is no sick GPU";
    Script idle = script_of(5);
    compute_a_minute(idle, {10.0, 10.0, 10.0, 10.0, 0.1}, 5.0);
    EXPECT_THAT(idle.scheduler.barred_workers(), IsEmpty());
}

TEST(HostFailures, CostTheWorkerThatKindOfTaskAndTheTaskNothing) {
    Script script(equal_tasks(8, 2), {0, 1});
    script.join(0);
    script.join(1);
    ASSERT_THAT(numbers(script.take(0, 2)), ElementsAre(0, 2));
    script.result(0, 0, kBlind);
    EXPECT_THAT(script.told<message::Acknowledge>(), ElementsAre(0));
    EXPECT_THAT(script.told<message::Recall>(), ElementsAre(0));
    script.result(0, 2, kBlind);
    EXPECT_THAT(script.scheduler.barred_workers(), ElementsAre("rank 0 (node): cannot read /models/small"));
    for (const LeasedTask& task : script.want(0, 4, 4)) EXPECT_EQ(task.task.affinity, 1u);
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("strike 0 of 3"));
    EXPECT_THAT(numbers(script.want(1, 4, 4)), Contains(0u)) << "beside others: it has no strike";
}

TEST(HostFailures, OnEveryWorkerEndTheTasksButNotThoseOfOtherKinds) {
    Script script(equal_tasks(8, 2), {0, 1});
    script.join(0);
    script.join(1);
    for (const Rank rank : {0, 1}) {
        const std::vector<LeasedTask> taken = script.want(rank, 1, 1);
        ASSERT_EQ(taken.size(), 1u);
        if (taken[0].task.affinity == 1) {
            script.result(rank, taken[0].task.id.value);
            rank == 0 ? script.want(0, 1, 1) : script.want(1, 1, 1);
        }
    }
    for (const Rank rank : {0, 1}) {
        for (const std::uint32_t task : {0, 2, 4, 6}) {
            if (!script.leases.contains(task)) continue;
            script.result(rank, task, kBlind);
        }
    }
    const auto failed = [&] {
        std::vector<std::uint32_t> tasks;
        for (const TaskResult& result : script.to_store) {
            if (result.failure) tasks.push_back(result.task.value);
        }
        return tasks;
    };
    for (int round = 0; round < 9 && failed().empty(); ++round) {
        for (const Rank rank : {0, 1}) {
            for (const LeasedTask& task : script.want(rank, 1, 1)) {
                const bool bad = task.task.affinity == 0;
                script.result(rank, task.task.id.value,
                              bad ? std::optional<TaskFailure>(kBlind) : std::nullopt);
            }
        }
    }
    EXPECT_THAT(failed(), ::testing::UnorderedElementsAre(0, 2, 4, 6));
    EXPECT_FALSE(script.scheduler.stopping());
    for (const TaskResult& result : script.to_store) {
        if (result.failure) {
            EXPECT_EQ(result.failure->message, "no worker can run it: cannot read /models/small");
        }
    }
}

TEST(HostFailures, OnEveryWorkerEndTheRunIfThereIsNothingElse) {
    Script script(equal_tasks(100), {0, 1});
    for (const Rank rank : {0, 1}) {
        script.join(rank);
        script.take(rank, 2);
        for (const LeasedTask& task : script.want(rank, 1, 1))
            script.result(rank, task.task.id.value, kBlind);
    }
    script.result(0, 0, kBlind);
    script.result(1, 2, kBlind);
    EXPECT_TRUE(script.scheduler.stopping());
    EXPECT_THAT(script.scheduler.alike_failure(), HasSubstr("cannot read /models/small"));
    EXPECT_THAT(script.to_store, IsEmpty()) << "the next launch may see the folder";
}

TEST(HostFailures, EndTheRunWhenOnlyALostWorkerCouldGoOn) {
    Script script(equal_tasks(4), {0, 1});
    script.join(0);
    script.join(1);
    script.take(0, 1);
    script.feed(event::PeerLost{1, "unreachable"});
    script.result(0, 0, kBlind);
    EXPECT_FALSE(script.scheduler.stopping());
    script.feed(event::Tick{});
    EXPECT_TRUE(script.scheduler.stopping());
    EXPECT_THAT(script.scheduler.stop_reason(), HasSubstr("cannot read /models/small"));
    EXPECT_THAT(script.to_store, IsEmpty());
}

/// Two workers take tasks in turn; `failure_of` says how the n-th ends.
template <class FailureOf>
int run_until_stopped(Script& script, int most, FailureOf failure_of) {
    int count = 0;
    for (; count < most && !script.scheduler.stopping(); ++count) {
        const Rank rank = count % 2;
        const std::vector<LeasedTask> taken = script.take(rank, 1);
        if (taken.empty()) break;
        script.result(rank, taken[0].task.id.value, failure_of(count));
        script.store_all();
    }
    return count;
}

TEST(AlikeFailures, OfTheFirstEightTasksEndTheRun) {
    Script script(equal_tasks(100), {0, 1});
    script.join(0);
    script.join(1);
    const int ended = run_until_stopped(script, 50, [](int) {
        return TaskFailure{FailureCategory::permanent, "the loss is not finite"};
    });
    EXPECT_EQ(ended, 8);
    EXPECT_THAT(script.scheduler.alike_failure(),
                HasSubstr("the first 8 tasks all failed alike, on 2 workers"));
    EXPECT_THAT(script.scheduler.alike_failure(), HasSubstr("the loss is not finite"));
}

TEST(AlikeFailures, DoNotEndTheRunWhenTheyDifferOrOneWorkerHasNoneOrOneTaskSucceeds) {
    const auto failure = [](const std::string& text) {
        return std::optional(TaskFailure{FailureCategory::permanent, text});
    };
    for (const int kind : {0, 1, 2}) {
        Script script(equal_tasks(100), {0, 1, 2});
        script.join(0);
        script.join(1);
        if (kind == 2) script.join(2);
        const int ended = run_until_stopped(script, 20, [&](int count) -> std::optional<TaskFailure> {
            if (kind == 0 && count == 3) return std::nullopt;
            return failure(kind == 1 && count == 7 ? "another" : "alike");
        });
        EXPECT_EQ(ended, 20) << kind;
        EXPECT_THAT(script.scheduler.alike_failure(), IsEmpty()) << kind;
    }
}

TEST(AlikeFailures, OfOneTaskTriedAgainAreNotThoseOfEight) {
    Options options;
    options.max_strikes = 20;
    Script script(equal_tasks(7), {0}, options);
    script.join(0);
    for (int round = 0; round < 30; ++round) {
        for (const LeasedTask& task : script.take(0, 1)) script.result(0, task.task.id.value, kFlaky);
    }
    EXPECT_FALSE(script.scheduler.stopping());
}

}  // namespace
}  // namespace memcap::sched::testing
