// The worker's half of the protocol, scripted.
#include "memcap/sched/worker_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <class Kind>
std::vector<Kind> of_kind(const std::vector<Message>& messages) {
    std::vector<Kind> found;
    for (const Message& message : messages) {
        if (const auto* kind = std::get_if<Kind>(&message)) found.push_back(*kind);
    }
    return found;
}

WorkerState welcomed_worker() {
    WorkerState worker({"node", "cpu", 1.0}, 0.0);
    worker.messages(0.0);
    worker.receive(message::Welcome{Options{}, bytes_of("setup")}, 0.0);
    worker.messages(0.0);
    return worker;
}

message::Lease lease(std::uint64_t id, std::vector<std::uint32_t> tasks, std::uint64_t affinity = 1) {
    message::Lease result;
    result.id = LeaseId{id};
    for (const std::uint32_t index : tasks) {
        Task task = make_tasks(index + 1).back();
        task.affinity = affinity;
        result.tasks.push_back({task, 1});
    }
    return result;
}

std::vector<std::uint32_t> numbers(const std::vector<LeasedTask>& tasks) {
    std::vector<std::uint32_t> result;
    for (const LeasedTask& task : tasks) result.push_back(task.task.id.value);
    return result;
}

TEST(Joining, IsRepeatedUntilTheWelcome) {
    WorkerState worker({"node", "cpu", 1.0}, 0.0);
    EXPECT_EQ(of_kind<message::Join>(worker.messages(0.0)).size(), 1u);
    EXPECT_THAT(worker.messages(0.5), IsEmpty());
    EXPECT_EQ(of_kind<message::Join>(worker.messages(2.5)).size(), 1u);
    worker.receive(message::Welcome{Options{}, bytes_of("setup")}, 3.0);
    EXPECT_THAT(of_kind<message::Join>(worker.messages(6.0)), IsEmpty());
    EXPECT_EQ(text_of(worker.setup()), "setup");
}

TEST(Needs, AreFreeSlotsAndSomeWorkAhead) {
    WorkerState worker = welcomed_worker();
    EXPECT_THAT(worker.take(4, 0.0), IsEmpty());
    const auto asked = of_kind<message::Status>(worker.messages(0.0));
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_EQ(asked[0].status.free_slots, 4u);
    EXPECT_EQ(asked[0].status.wanted, 5u);
    EXPECT_THAT(worker.messages(0.1), IsEmpty()) << "the same wish is told once";
}

TEST(Needs, GrowWithTheRateOfFinishedTasks) {
    WorkerState worker = welcomed_worker();
    std::vector<std::uint32_t> all(100);
    for (std::uint32_t i = 0; i < 100; ++i) all[i] = i;
    worker.receive(lease(1, all), 0.0);
    // Ten tasks a second for six seconds: the five seconds ahead are 50 tasks.
    for (int i = 0; i < 60; ++i) {
        const double now_s = 0.1 * (i + 1);
        const std::vector<LeasedTask> task = worker.take(1, now_s - 0.1);
        ASSERT_EQ(task.size(), 1u);
        worker.finish(honest(task[0]), now_s);
    }
    const auto told = of_kind<message::Status>(worker.messages(6.0));
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].status.queued, 40u);
    EXPECT_EQ(told[0].status.wanted, 0u) << "a small wish is not worth a message";
    worker.receive(message::Recall{30}, 6.0);
    const auto after = of_kind<message::Status>(worker.messages(6.0));
    ASSERT_EQ(after.size(), 1u);
    EXPECT_NEAR(after[0].status.wanted, 40.0, 4.0);
}

TEST(Taking, IsInOrderAndOfOneAffinityACall) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {5, 2}, 1), 0.0);
    worker.receive(lease(2, {7}, 9), 0.0);
    EXPECT_THAT(numbers(worker.take(10, 0.0)), ElementsAre(5, 2));
    EXPECT_THAT(numbers(worker.take(10, 0.0)), ElementsAre(7));
}

TEST(Leases, ThatComeTwiceAreTakenOnce) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1}), 0.0);
    worker.receive(lease(1, {0, 1}), 0.0);
    EXPECT_EQ(worker.queued(), 2u);
    worker.take(1, 0.0);
    worker.receive(lease(2, {0}), 0.0);
    EXPECT_EQ(worker.queued(), 1u) << "task 0 is running here already";
    worker.finish(honest(lease(1, {0}).tasks[0]), 1.0);
    const auto results = of_kind<message::Result>(worker.messages(1.0));
    ASSERT_EQ(results.size(), 1u);
    EXPECT_EQ(results[0].lease, LeaseId{2}) << "its result serves the newer lease";
}

TEST(Results, AreSentAgainUntilTheyAreAcknowledged) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0}), 0.0);
    worker.finish(honest(worker.take(1, 0.0)[0]), 1.0);
    EXPECT_EQ(of_kind<message::Result>(worker.messages(1.0)).size(), 1u);
    EXPECT_THAT(of_kind<message::Result>(worker.messages(4.0)), IsEmpty());
    EXPECT_EQ(of_kind<message::Result>(worker.messages(6.5)).size(), 1u);
    worker.receive(message::Acknowledge{{{TaskIndex{0}, LeaseId{9}}}}, 7.0);
    EXPECT_EQ(worker.unacknowledged(), 1u) << "that was another lease";
    worker.receive(message::Acknowledge{{{TaskIndex{0}, LeaseId{1}}}}, 7.0);
    EXPECT_EQ(worker.unacknowledged(), 0u);
    EXPECT_EQ(worker.acknowledged(), 1u);
    EXPECT_THAT(of_kind<message::Result>(worker.messages(30.0)), IsEmpty());
}

TEST(Results, OfATaskThatIsTriedAgainHereArriveBeforeItsNewLeaseSoTheyGo) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0}), 0.0);
    TaskResult failure = honest(worker.take(1, 0.0)[0]);
    failure.failure = TaskFailure{FailureCategory::retryable, "out of memory"};
    worker.finish(failure, 1.0);
    worker.messages(1.0);
    worker.receive(lease(2, {0}), 1.1);
    EXPECT_EQ(worker.unacknowledged(), 0u);
    EXPECT_THAT(numbers(worker.take(1, 1.1)), ElementsAre(0));
}

TEST(Recalls, GiveBackTheNewestAndAreAlwaysAnswered) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1, 2}), 0.0);
    worker.take(1, 0.0);
    worker.receive(message::Recall{1}, 0.0);
    auto returned = of_kind<message::Returned>(worker.messages(0.0));
    ASSERT_EQ(returned.size(), 1u);
    EXPECT_THAT(returned[0].tasks, ElementsAre(TaskLease{TaskIndex{2}, LeaseId{1}}));
    worker.take(1, 0.0);
    worker.receive(message::Recall{5}, 0.0);
    returned = of_kind<message::Returned>(worker.messages(0.0));
    ASSERT_EQ(returned.size(), 1u);
    EXPECT_THAT(returned[0].tasks, IsEmpty()) << "all are running";
}

TEST(Heartbeats, NameEverythingThatIsHeld) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(3, {0, 1, 2}), 0.0);
    worker.finish(honest(worker.take(1, 0.0)[0]), 0.5);
    worker.take(1, 0.6);
    EXPECT_THAT(of_kind<message::Heartbeat>(worker.messages(1.0)), IsEmpty());
    const auto beats = of_kind<message::Heartbeat>(worker.messages(2.5));
    ASSERT_EQ(beats.size(), 1u);
    EXPECT_EQ(beats[0].held.size(), 3u);
    EXPECT_EQ(beats[0].status.lease_seen, LeaseId{3});
}

TEST(Stopping, GivesBackWhatIsQueuedAndLeavesOnceResultsAreSafe) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1, 2}), 0.0);
    const std::vector<LeasedTask> running = worker.take(2, 0.0);
    worker.finish(honest(running[0]), 1.0);
    worker.receive(message::Stop{}, 1.0);
    EXPECT_TRUE(worker.closed());
    EXPECT_THAT(worker.take(1, 1.0), IsEmpty());
    worker.executor_returned(1.5);
    const std::vector<Message> said = worker.messages(1.5);
    const auto returned = of_kind<message::Returned>(said);
    ASSERT_EQ(returned.size(), 1u);
    EXPECT_EQ(returned[0].tasks.size(), 2u);
    EXPECT_EQ(of_kind<message::Result>(said).size(), 1u);
    EXPECT_THAT(of_kind<message::Leave>(said), IsEmpty());
    worker.receive(message::Acknowledge{{{TaskIndex{0}, LeaseId{1}}}}, 2.0);
    EXPECT_EQ(of_kind<message::Leave>(worker.messages(2.0)).size(), 1u);
}

TEST(Stopping, LeavesWithoutAnAcknowledgementAfterHalfOfTheDrainTime) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0}), 0.0);
    worker.finish(honest(worker.take(1, 0.0)[0]), 1.0);
    worker.stop(1.0);
    worker.executor_returned(1.0);
    EXPECT_THAT(of_kind<message::Leave>(worker.messages(15.0)), IsEmpty());
    EXPECT_EQ(of_kind<message::Leave>(worker.messages(17.0)).size(), 1u);
}

TEST(Failing, NamesTheRunningTasksAndIsRepeated) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1}), 0.0);
    worker.take(1, 0.0);
    worker.executor_threw("bad kernel", 1.0);
    for (const double now_s : {1.0, 3.5}) {
        const auto failed = of_kind<message::Failed>(worker.messages(now_s));
        ASSERT_EQ(failed.size(), 1u);
        EXPECT_EQ(failed[0].reason, "bad kernel");
        EXPECT_THAT(failed[0].running, ElementsAre(TaskLease{TaskIndex{0}, LeaseId{1}}));
    }
}

TEST(Ending, SaysGoodbyeOnceTheExecutorIsGone) {
    WorkerState worker = welcomed_worker();
    worker.receive(message::Finish{}, 1.0);
    EXPECT_TRUE(worker.closed());
    EXPECT_THAT(worker.messages(1.0), IsEmpty());
    worker.executor_returned(2.0);
    EXPECT_EQ(of_kind<message::Goodbye>(worker.messages(2.0)).size(), 1u);
    EXPECT_TRUE(worker.said_goodbye());
    EXPECT_THAT(worker.messages(9.0), IsEmpty());
}

TEST(Silence, OfTheManagerEndsTheWorkerButNotWhileItSleptItself) {
    WorkerState worker = welcomed_worker();
    worker.messages(590.0);
    EXPECT_FALSE(worker.manager_lost(595.0)) << "this process was away for 590 s";
    for (double now_s = 591.0; now_s < 1189.0; now_s += 1.0) worker.messages(now_s);
    EXPECT_FALSE(worker.manager_lost(1189.0));
    EXPECT_TRUE(worker.manager_lost(1191.0));
}

}  // namespace
}  // namespace memcap::sched::testing
