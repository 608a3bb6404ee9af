// The scheduler, scripted: results, strikes, failures, crashed and lost workers, the end of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/script.hpp"

namespace memcap::sched::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Results, AreStoredBeforeTheyAreAcknowledged) {
    Script script(equal_tasks(3), {0});
    script.join(0);
    script.want(0, 3, 3);
    script.result(0, 1);
    ASSERT_EQ(script.to_store.size(), 1u);
    EXPECT_THAT(script.told<message::Acknowledge>(), IsEmpty());
    script.store_all();
    EXPECT_THAT(script.told<message::Acknowledge>(), ElementsAre(0));
    EXPECT_THAT(script.last<message::Acknowledge>().tasks, ElementsAre(TaskLease{TaskIndex{1}, LeaseId{1}}));
    EXPECT_EQ(script.scheduler.counts().done, 1u);
}

TEST(Results, TheFirstSuccessWinsEvenFromAWorkerThoughtLost) {
    Script script(equal_tasks(1), {0, 1});
    script.join(0);
    script.join(1);
    script.take(0, 1);
    const LeaseId old = script.leases.at(0);
    script.feed(event::PeerLost{0, "unreachable"});
    ASSERT_THAT(numbers(script.take(1, 1)), ElementsAre(0));
    script.result(0, 0, old);
    script.store_all();
    EXPECT_THAT(script.told<message::Acknowledge>(), ElementsAre(0));
    EXPECT_TRUE(script.scheduler.over());
    script.result(1, 0);
    EXPECT_THAT(script.to_store, IsEmpty());
    EXPECT_THAT(script.told<message::Acknowledge>(), ElementsAre(1)) << "nobody needs to keep it";
}

TEST(Results, ALateFailureOfAnOldLeaseChangesNothing) {
    Script script(equal_tasks(1), {0, 1});
    script.join(0);
    script.join(1);
    script.want(0, 1, 1);
    const LeaseId old = script.leases.at(0);
    script.feed(event::PeerLost{0, "unreachable"});
    script.want(1, 1, 1);
    script.result(0, 0, old, TaskFailure{FailureCategory::permanent, "not finite"});
    EXPECT_THAT(script.to_store, IsEmpty());
    EXPECT_EQ(script.scheduler.counts().leased, 1u);
}

TEST(Results, OfTasksThatDoNotExistAreIgnored) {
    Script script(equal_tasks(2), {0});
    script.join(0);
    script.result(0, 99, LeaseId{1});
    EXPECT_THAT(script.to_store, IsEmpty());
    ASSERT_EQ(script.warnings.size(), 1u);
    EXPECT_THAT(script.warnings[0], HasSubstr("does not exist"));
}

TEST(UnfinishedWork, IsThatOfAllWorkersThatHoldTasks) {
    Script script(equal_tasks(3), {0, 1});
    script.join(0);
    script.join(1);
    script.take(0, 1);
    script.take(1, 1);
    EXPECT_EQ(script.scheduler.unfinished().work, 0.0);
    script.receive(0, message::Heartbeat{{}, {0.25, 10}});
    script.receive(1, message::Heartbeat{{}, {0.5, 30}});
    EXPECT_EQ(script.scheduler.unfinished().work, 0.75);
    EXPECT_EQ(script.scheduler.unfinished().steps, 40u);
    script.receive(0, message::Crashed{"it was killed"});
    EXPECT_EQ(script.scheduler.unfinished().work, 0.5);
    script.join(0);
    script.take(0, 1);
    EXPECT_EQ(script.scheduler.unfinished().work, 0.5) << "a new process has computed nothing yet";
}

TEST(Strikes, GoToStartedTasksOfALostWorkerAlone) {
    Script script(equal_tasks(6), {0, 1});
    script.join(0);
    script.join(1);
    ASSERT_EQ(script.want(0, 3, 3).size(), 3u);
    script.start(0, {0});
    script.now_s = 61.0;
    script.receive(1, message::Heartbeat{});
    script.feed(event::Tick{});
    script.now_s = 61.1;
    script.feed(event::Tick{});
    EXPECT_THAT(script.scheduler.lost_workers(), IsEmpty()) << "the manager itself was away";
    for (; script.now_s < 130.0; script.now_s += 1.0) {
        script.receive(1, message::Heartbeat{});
        script.feed(event::Tick{});
    }
    EXPECT_THAT(script.scheduler.lost_workers(), ElementsAre(0));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("strike 1 of 3"));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{1}), ::testing::Not(HasSubstr("strike")));
    EXPECT_THAT(numbers(script.want(1, 6, 6)), ElementsAre(1, 2, 3, 4, 5)) << "the struck one must be alone";
}

TEST(Strikes, GoToStartedTasksOfACrashAndTheWorkerMayJoinAgain) {
    Script script(equal_tasks(6), {0});
    script.join(0);
    ASSERT_EQ(script.want(0, 3, 3).size(), 3u);
    script.start(0, {0});
    script.receive(0, message::Crashed{"killed by SIGSEGV"});
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("killed by SIGSEGV"));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{1}), ::testing::Not(HasSubstr("strike")));
    EXPECT_FALSE(script.scheduler.over());
    script.last_lease[0] = {};
    script.sent.clear();
    script.join(0);
    EXPECT_THAT(script.told<message::Welcome>(), ElementsAre(0));
    const std::vector<LeasedTask> again = script.want(0, 6, 6);
    EXPECT_THAT(numbers(again), ElementsAre(1, 2, 3, 4, 5));
    EXPECT_EQ(again[0].attempt, 2u);
}

TEST(Strikes, TheThirdCrashEndsATaskThatRanAloneAfterTheFirst) {
    Script script(equal_tasks(4), {0});
    script.join(0);
    ASSERT_EQ(script.take(0, 4).size(), 4u);
    script.join(1);
    script.feed(event::PeerLost{0, "killed"});
    // Which of the four kills its worker? Each runs alone now.
    const std::vector<LeasedTask> first = script.take(1, 4);
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0].attempt, 2u);
    EXPECT_THAT(script.want(1, 3, 3), IsEmpty()) << "the next waits until the worker holds nothing";
    script.result(1, first[0].task.id.value);
    const std::vector<LeasedTask> second = script.leased_to(1);
    ASSERT_EQ(second.size(), 1u);
    script.store_all();
    script.start(1, numbers(second));
    script.join(2);
    script.feed(event::PeerLost{1, "killed"});
    const std::uint32_t guilty = second[0].task.id.value;
    for (std::vector<LeasedTask> next = script.take(2, 4); next.at(0).task.id.value != guilty;
         next = script.take(2, 4)) {
        script.result(2, next[0].task.id.value);
        script.store_all();
    }
    script.feed(event::PeerLost{2, "killed"});
    ASSERT_EQ(script.to_store.size(), 1u);
    EXPECT_EQ(script.to_store[0].task, second[0].task.id);
    EXPECT_TRUE(script.to_store[0].payload.empty());
    EXPECT_EQ(script.to_store[0].failure->category, FailureCategory::permanent);
    EXPECT_THAT(script.to_store[0].failure->message, HasSubstr("killed"));
}

/// Rank 0 is lost, rank 1 is there.
void let_rank_0_fall_silent(Script& script) {
    script.join(1);
    for (const double end_s = script.now_s + 62.0; script.now_s < end_s; script.now_s += 1.0) {
        script.receive(1, message::Heartbeat{});
        script.feed(event::Tick{});
    }
}

TEST(Strikes, AreTakenBackWhenTheWorkerTurnsOutToLive) {
    Script script(equal_tasks(2), {0, 1});
    script.join(0);
    script.take(0, 1);
    let_rank_0_fall_silent(script);
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("strike 1"));
    EXPECT_THAT(script.crashes, IsEmpty()) << "nobody knows yet";
    script.sent.clear();
    script.receive(0, message::Heartbeat{});
    script.receive(0, message::Heartbeat{});
    EXPECT_THAT(script.told<message::Rejoin>(), ElementsAre(0)) << "it is asked once";
    script.join(0);
    EXPECT_THAT(script.told<message::Welcome>(), ElementsAre(0));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("strike 0"));
    EXPECT_THAT(script.scheduler.lost_workers(), IsEmpty());
}

TEST(Strikes, StandWhenALostWorkerTurnsOutToHaveCrashed) {
    Script script(equal_tasks(2), {0, 1});
    script.join(0);
    script.take(0, 1);
    let_rank_0_fall_silent(script);
    script.receive(0, message::Crashed{"out of memory"});
    script.join(0);
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("strike 1"));
}

TEST(Strikes, ByCrashesAreToBeNotedAndCountInLaterLaunches) {
    std::vector<Task> tasks = equal_tasks(3);
    tasks[1].strikes = 2;
    tasks[2].strikes = 3;
    Script script(std::move(tasks), {0, 1});
    script.feed(event::Tick{});
    ASSERT_EQ(script.to_store.size(), 1u) << "it had its three crashes";
    EXPECT_EQ(script.to_store[0].task, TaskIndex{2});
    EXPECT_THAT(script.to_store[0].failure->message, HasSubstr("3 crashes in earlier launches"));
    script.store_all();
    script.join(0);
    script.join(1);
    EXPECT_THAT(numbers(script.want(0, 3, 3)), ElementsAre(0)) << "the other one must be alone";
    ASSERT_THAT(numbers(script.take(1, 3)), ElementsAre(1));
    script.receive(1, message::Crashed{"killed by SIGSEGV"});
    ASSERT_EQ(script.crashes.size(), 1u);
    EXPECT_EQ(script.crashes[0].task, TaskIndex{1});
    EXPECT_THAT(script.crashes[0].reason, HasSubstr("killed by SIGSEGV"));
    ASSERT_EQ(script.to_store.size(), 1u);
    EXPECT_EQ(script.to_store[0].task, TaskIndex{1});
}

TEST(Strikes, AreNotGivenByWorkersThatLeave) {
    Script script(equal_tasks(2), {0, 1});
    script.join(0);
    script.join(1);
    script.want(0, 1, 1);
    script.receive(0, message::Leave{});
    EXPECT_EQ(script.scheduler.counts().waiting, 2u);
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), ::testing::Not(HasSubstr("strike")));
    EXPECT_EQ(script.want(1, 2, 2).size(), 2u);
}

TEST(Failures, RetryableOnesAreTriedThreeTimesThenKept) {
    Script script(equal_tasks(1), {0});
    script.join(0);
    for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
        const std::vector<LeasedTask> tasks = script.want(0, 1, 1);
        ASSERT_EQ(tasks.size(), 1u);
        EXPECT_EQ(tasks[0].attempt, attempt);
        script.result(0, 0, TaskFailure{FailureCategory::retryable, "out of memory"});
        EXPECT_EQ(script.told<message::Acknowledge>().size(), attempt < 3 ? 1u : 0u);
    }
    ASSERT_EQ(script.to_store.size(), 1u);
    EXPECT_EQ(text_of(script.to_store[0].payload), "record");
    script.store_all();
    EXPECT_EQ(script.scheduler.counts().failed, 1u);
    EXPECT_TRUE(script.scheduler.over());
}

TEST(Failures, PermanentOnesAreKeptAtOnce) {
    Script script(equal_tasks(1), {0});
    script.join(0);
    script.want(0, 1, 1);
    script.result(0, 0, TaskFailure{FailureCategory::permanent, "not finite"});
    ASSERT_EQ(script.to_store.size(), 1u);
    EXPECT_THAT(script.told<message::Acknowledge>(), IsEmpty());
}

TEST(Messages, OfTheWrongDirectionAreNamedAndIgnored) {
    Script script(equal_tasks(1), {0});
    script.receive(0, message::Stop{});
    ASSERT_EQ(script.warnings.size(), 1u);
    EXPECT_THAT(script.warnings[0], HasSubstr("ignored"));
}

TEST(Workers, ThatNeverJoinAreGivenUpAndTheRunEndsIfNobodyIsLeft) {
    Script script(equal_tasks(2), {0, 1});
    for (; script.now_s < 59.0; script.now_s += 1.0) script.feed(event::Tick{});
    EXPECT_FALSE(script.scheduler.over());
    for (; script.now_s < 63.0; script.now_s += 1.0) script.feed(event::Tick{});
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_TRUE(script.scheduler.stopping());
    EXPECT_EQ(script.scheduler.counts().waiting, 2u);
    EXPECT_THAT(script.scheduler.explain_worker(1, script.now_s), HasSubstr("has not joined"));
}

TEST(Stop, HandsOutNothingAndEndsWhenAllHaveLeft) {
    Script script(equal_tasks(9), {0, 1});
    script.join(0);
    script.join(1);
    script.want(0, 2, 2);
    script.sent.clear();
    script.feed(event::StopRequested{});
    EXPECT_THAT(script.told<message::Stop>(), ElementsAre(0, 1));
    EXPECT_THAT(script.want(1, 2, 2), IsEmpty());
    script.result(0, 0);
    script.store_all();
    EXPECT_EQ(script.scheduler.counts().done, 1u) << "what is finished is kept";
    script.receive(0, message::Leave{});
    EXPECT_FALSE(script.scheduler.over());
    script.receive(1, message::Leave{});
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_EQ(script.scheduler.counts().waiting, 8u);
    EXPECT_EQ(script.scheduler.missing_goodbyes().size(), 2u);
    script.receive(0, message::Goodbye{});
    script.receive(1, message::Goodbye{});
    EXPECT_THAT(script.scheduler.missing_goodbyes(), IsEmpty());
}

TEST(Stop, DoesNotWaitForEverForAWorkerThatHangs) {
    Script script(equal_tasks(9), {0});
    script.join(0);
    script.want(0, 2, 2);
    script.feed(event::StopRequested{});
    for (; script.now_s < 32.0; script.now_s += 1.0) {
        script.receive(0, message::Heartbeat{});
        script.feed(event::Tick{});
    }
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_THAT(script.scheduler.lost_workers(), ElementsAre(0));
    script.receive(0, message::Heartbeat{});
    EXPECT_THAT(script.scheduler.lost_workers(), IsEmpty()) << "it is heard of again after it was given up";
}

TEST(Store, AFailureStopsTheRunAndWhatWasNotKeptRemains) {
    Script script(equal_tasks(3), {0});
    script.join(0);
    script.want(0, 3, 3);
    script.result(0, 0);
    script.result(0, 1);
    script.to_store.clear();
    script.sent.clear();
    script.feed(event::StoreFailed{{TaskIndex{0}}, "disk full"});
    script.feed(event::Stored{{TaskIndex{1}}});
    EXPECT_THAT(script.told<message::Stop>(), ElementsAre(0));
    EXPECT_EQ(script.last<message::Acknowledge>().tasks.size(), 1u);
    script.receive(0, message::Leave{});
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_EQ(script.scheduler.counts().done, 1u);
    EXPECT_EQ(script.scheduler.counts().waiting, 2u);
}

TEST(Explain, SaysWhyAWorkerIsIdleAndWhyATaskWaits) {
    Script script(equal_tasks(4), {0, 1});
    EXPECT_THAT(script.scheduler.explain_worker(0, 3.0), HasSubstr("has not joined yet (3 s"));
    script.join(0);
    EXPECT_THAT(script.scheduler.explain_worker(0, 0.0), HasSubstr("has not said yet that it wants work"));
    script.want(0, 4, 4);
    EXPECT_THAT(script.scheduler.explain_worker(0, 0.0), HasSubstr("fair share"));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{3}), HasSubstr("waits: 2 tasks share its affinity"));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("is with rank 0 (node)"));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{44}), HasSubstr("no task 44"));
    EXPECT_THAT(script.scheduler.explain_worker(9, 0.0), HasSubstr("not part of this run"));
}

TEST(Ending, ACrashAfterTheEndIsAGoodbyeAndANewProcessIsToldToFinish) {
    Script script(equal_tasks(1), {0, 1});
    script.join(0);
    script.join(1);
    script.take(0, 1);
    script.result(0, 0);
    script.store_all();
    ASSERT_TRUE(script.scheduler.over());
    script.receive(0, message::Goodbye{});
    script.receive(1, message::Crashed{"killed while it ended"});
    EXPECT_THAT(script.scheduler.missing_goodbyes(), IsEmpty());
    script.sent.clear();
    script.join(1);
    EXPECT_THAT(script.told<message::Finish>(), ElementsAre(1));
    EXPECT_THAT(script.scheduler.missing_goodbyes(), ElementsAre(1));
}

}  // namespace
}  // namespace memcap::sched::testing
