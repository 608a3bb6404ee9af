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
    WorkerState worker({"node", "cpu", 1.0, {}}, 0.0);
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

TEST(Joining, IsTheFirstWordAndIsSaidOnce) {
    WorkerState worker({"node", "cpu", 1.0, {}}, 0.0);
    EXPECT_EQ(of_kind<message::Join>(worker.messages(0.0)).size(), 1u);
    EXPECT_THAT(worker.messages(9.0), IsEmpty());
    worker.receive(message::Welcome{Options{}, bytes_of("setup")}, 9.0);
    EXPECT_EQ(text_of(worker.setup()), "setup");
}

TEST(Joining, UntilTheWelcomeWhatWasMeantForAProcessBeforeThisOneIsIgnored) {
    WorkerState worker({"node", "cpu", 1.0, {}}, 0.0);
    worker.messages(0.0);
    worker.receive(lease(7, {0, 1}), 0.0);
    worker.receive(message::Recall{1}, 0.0);
    worker.receive(message::Rejoin{}, 0.0);
    EXPECT_EQ(worker.queued(), 0u);
    EXPECT_THAT(worker.messages(0.0), IsEmpty());
    worker.receive(message::Stop{}, 0.0);
    EXPECT_TRUE(worker.closed());
}

TEST(Rejoining, DropsWhatIsQueuedAndGoesOnWithWhatRuns) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1, 2}), 0.0);
    worker.take(1, 0.0);
    worker.receive(message::Rejoin{}, 1.0);
    EXPECT_EQ(worker.queued(), 0u);
    const auto said = worker.messages(1.0);
    EXPECT_EQ(of_kind<message::Join>(said).size(), 1u);
    EXPECT_THAT(of_kind<message::Status>(said), IsEmpty()) << "its start belongs to a lease that is void";
    worker.receive(lease(2, {1}), 1.0);
    EXPECT_EQ(worker.queued(), 0u) << "not welcomed yet";
    worker.receive(message::Welcome{}, 1.0);
    EXPECT_EQ(text_of(worker.setup()), "setup") << "that of the first welcome holds";
    worker.receive(lease(3, {0}), 1.0);
    EXPECT_EQ(worker.queued(), 0u) << "task 0 is running here already";
    const auto told = of_kind<message::Status>(worker.messages(1.0));
    ASSERT_EQ(told.size(), 1u);
    EXPECT_THAT(told[0].started, ElementsAre(TaskLease{TaskIndex{0}, LeaseId{3}}));
    worker.finish(honest(lease(3, {0}).tasks[0]), 1.0);
    const auto results = of_kind<message::Result>(worker.messages(1.0));
    ASSERT_EQ(results.size(), 1u);
    EXPECT_EQ(results[0].lease, LeaseId{3}) << "its result serves the newer lease";
}

TEST(Rejoining, ASuccessOnItsWayIsNotComputedAgainAFailureIs) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1}), 0.0);
    const std::vector<LeasedTask> tasks = worker.take(2, 0.0);
    TaskResult failure = honest(tasks[1]);
    failure.failure = TaskFailure{FailureCategory::retryable, "out of memory"};
    worker.finish(honest(tasks[0]), 1.0);
    worker.finish(failure, 1.0);
    worker.receive(message::Rejoin{}, 1.0);
    EXPECT_EQ(of_kind<message::Result>(worker.messages(1.0)).size(), 2u) << "late results still count";
    worker.receive(message::Welcome{}, 1.0);
    worker.receive(lease(2, {0, 1}), 1.0);
    EXPECT_THAT(numbers(worker.take(2, 1.0)), ElementsAre(1));
}

TEST(Needs, AreFreeSlotsAndSomeWorkAhead) {
    WorkerState worker = welcomed_worker();
    EXPECT_THAT(worker.take(4, 0.0), IsEmpty());
    const auto asked = of_kind<message::Status>(worker.messages(0.0));
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_EQ(asked[0].free_slots, 4u);
    EXPECT_EQ(asked[0].wanted, 5u);
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
    EXPECT_EQ(told[0].started.size(), 60u);
    EXPECT_EQ(told[0].wanted, 0u) << "a small wish is not worth a message";
    worker.receive(message::Recall{30}, 6.0);
    const auto after = of_kind<message::Status>(worker.messages(6.0));
    ASSERT_EQ(after.size(), 1u);
    EXPECT_NEAR(after[0].wanted, 40.0, 4.0);
}

TEST(Taking, IsInOrderAndOfOneAffinityACall) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {5, 2}, 1), 0.0);
    worker.receive(lease(2, {7}, 9), 0.0);
    EXPECT_THAT(numbers(worker.take(10, 0.0)), ElementsAre(5, 2));
    EXPECT_THAT(numbers(worker.take(10, 0.0)), ElementsAre(7));
}

TEST(Starts, AreToldWithTheirLease) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1}), 0.0);
    worker.messages(0.0);
    worker.take(1, 0.0);
    const auto told = of_kind<message::Status>(worker.messages(0.0));
    ASSERT_EQ(told.size(), 1u);
    EXPECT_THAT(told[0].started, ElementsAre(TaskLease{TaskIndex{0}, LeaseId{1}}));
    worker.take(1, 0.0);
    worker.stop();
    EXPECT_EQ(of_kind<message::Status>(worker.messages(0.0)).size(), 1u) << "also while it stops";
}

TEST(Results, AreSentOnceAndKnownUntilTheyAreAcknowledged) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0}), 0.0);
    worker.finish(honest(worker.take(1, 0.0)[0]), 1.0);
    EXPECT_EQ(of_kind<message::Result>(worker.messages(1.0)).size(), 1u);
    worker.receive(message::Acknowledge{{{TaskIndex{0}, LeaseId{9}}}}, 7.0);
    EXPECT_EQ(worker.unacknowledged(), 1u) << "that was another lease";
    worker.receive(message::Acknowledge{{{TaskIndex{0}, LeaseId{1}}}}, 7.0);
    EXPECT_EQ(worker.unacknowledged(), 0u);
    EXPECT_EQ(worker.acknowledged(), 1u);
    EXPECT_THAT(of_kind<message::Result>(worker.messages(30.0)), IsEmpty());
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

TEST(Heartbeats, TellWhatWasComputedOfTheTasksAtHand) {
    WorkerState worker = welcomed_worker();
    worker.computed(3, 5.0, 1.0, {5.0, 2});
    worker.computed(4, 7.0, 2.0, {12.0, 4});
    worker.computed(4, 7.0, 2.5, {9.0, 3});
    const auto beats = of_kind<message::Heartbeat>(worker.messages(worker.options().heartbeat_s + 1.0));
    ASSERT_EQ(beats.size(), 1u);
    EXPECT_EQ(beats[0].pace.affinity, 4u);
    EXPECT_EQ(beats[0].pace.work, 14.0);
    EXPECT_EQ(beats[0].pace.busy_s, 4.5);
    EXPECT_EQ(beats[0].unfinished.work, 9.0);
    EXPECT_EQ(beats[0].unfinished.steps, 3u);
}

TEST(Heartbeats, ComeRegularlyOnceTheManagerIsKnown) {
    WorkerState worker({"node", "cpu", 1.0, {}}, 0.0);
    EXPECT_THAT(of_kind<message::Heartbeat>(worker.messages(2.5)), IsEmpty());
    worker.receive(message::Welcome{}, 2.5);
    EXPECT_EQ(of_kind<message::Heartbeat>(worker.messages(2.5)).size(), 1u);
    EXPECT_THAT(of_kind<message::Heartbeat>(worker.messages(4.0)), IsEmpty());
    EXPECT_EQ(of_kind<message::Heartbeat>(worker.messages(4.5)).size(), 1u);
}

TEST(Stopping, GivesBackWhatIsLeftAndThenLeaves) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1, 2}), 0.0);
    const std::vector<LeasedTask> running = worker.take(2, 0.0);
    worker.finish(honest(running[0]), 1.0);
    worker.receive(message::Stop{}, 1.0);
    EXPECT_TRUE(worker.closed());
    EXPECT_THAT(worker.take(1, 1.0), IsEmpty());
    EXPECT_THAT(of_kind<message::Leave>(worker.messages(1.0)), IsEmpty()) << "the executor is still there";
    worker.executor_returned();
    const std::vector<Message> said = worker.messages(1.5);
    const auto returned = of_kind<message::Returned>(said);
    ASSERT_EQ(returned.size(), 1u);
    EXPECT_THAT(returned[0].tasks, ElementsAre(TaskLease{TaskIndex{1}, LeaseId{1}}));
    ASSERT_FALSE(said.empty());
    EXPECT_TRUE(std::holds_alternative<message::Leave>(said.back()));
    EXPECT_THAT(of_kind<message::Leave>(worker.messages(9.0)), IsEmpty()) << "it is said once";
}

TEST(Failing, IsToldOnceAndAfterWhatHadStarted) {
    WorkerState worker = welcomed_worker();
    worker.receive(lease(1, {0, 1}), 0.0);
    worker.messages(0.0);
    worker.take(1, 0.0);
    worker.executor_threw("bad kernel");
    const std::vector<Message> said = worker.messages(1.0);
    ASSERT_EQ(of_kind<message::Status>(said).size(), 1u);
    EXPECT_THAT(of_kind<message::Status>(said)[0].started, ElementsAre(TaskLease{TaskIndex{0}, LeaseId{1}}));
    const auto returned = of_kind<message::Returned>(said);
    ASSERT_EQ(returned.size(), 1u);
    EXPECT_THAT(returned[0].tasks, ElementsAre(TaskLease{TaskIndex{1}, LeaseId{1}}));
    ASSERT_TRUE(std::holds_alternative<message::Failed>(said.back()));
    EXPECT_EQ(std::get<message::Failed>(said.back()).reason, "bad kernel");
    EXPECT_THAT(of_kind<message::Failed>(worker.messages(9.0)), IsEmpty());
}

TEST(Ending, SaysGoodbyeOnceTheExecutorIsGone) {
    WorkerState worker = welcomed_worker();
    worker.receive(message::Finish{}, 1.0);
    EXPECT_TRUE(worker.closed());
    EXPECT_THAT(worker.messages(1.0), IsEmpty());
    worker.executor_returned();
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
