// The scheduler's decisions one by one, scripted: who gets what, what counts as a strike, what is told to
// whom.
#include "memcap/sched/scheduler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint32_t kMany = 1000;

/// Plays workers and disk by hand.
class Script {
  public:
    Script(std::vector<Task> tasks, std::vector<Rank> ranks, const Options& options = {})
        : scheduler(std::move(tasks), std::move(ranks), options, 0.0) {}

    std::vector<Action> feed(Event event) {
        std::vector<Action> actions = scheduler.handle(std::move(event), now_s);
        scheduler.check();
        for (const Action& action : actions) {
            if (const auto* send = std::get_if<action::Send>(&action)) sent.push_back(*send);
            if (const auto* store = std::get_if<action::Store>(&action)) to_store.push_back(store->result);
            if (const auto* warning = std::get_if<action::Warn>(&action)) warnings.push_back(warning->text);
        }
        return actions;
    }
    void receive(Rank from, Message message) { feed(event::Received{from, std::move(message)}); }
    void join(Rank rank, double speed = 1.0) { receive(rank, message::Join{{"node", "cpu", speed}}); }
    /// The worker has seen all its leases, has `queued` of them not started and wants more.
    std::vector<LeasedTask> want(Rank rank, std::uint32_t free_slots, std::uint32_t wanted,
                                 std::uint32_t queued = 0) {
        sent.clear();
        receive(rank, message::Status{status(rank, free_slots, wanted, queued)});
        return leased_to(rank);
    }
    WorkerStatus status(Rank rank, std::uint32_t free_slots, std::uint32_t wanted, std::uint32_t queued = 0) {
        WorkerStatus status;
        status.sequence = ++sequence;
        status.lease_seen = last_lease[rank];
        status.free_slots = free_slots;
        status.wanted = wanted;
        status.queued = queued;
        return status;
    }
    std::vector<LeasedTask> leased_to(Rank rank) {
        std::vector<LeasedTask> tasks;
        for (const action::Send& send : sent) {
            const auto* lease = std::get_if<message::Lease>(&send.message);
            if (lease == nullptr || send.to != rank) continue;
            last_lease[rank] = lease->id;
            for (const LeasedTask& task : lease->tasks) {
                tasks.push_back(task);
                leases[task.task.id.value] = lease->id;
            }
        }
        return tasks;
    }
    void result(Rank from, std::uint32_t task, LeaseId lease, std::optional<TaskFailure> failure = {}) {
        sent.clear();
        receive(from, message::Result{lease, {TaskIndex{task}, 1, std::move(failure), bytes_of("record")}});
    }
    void result(Rank from, std::uint32_t task, std::optional<TaskFailure> failure = {}) {
        result(from, task, leases.at(task), std::move(failure));
    }
    void store_all() {
        event::Stored stored;
        for (const TaskResult& kept : std::exchange(to_store, {})) stored.tasks.push_back(kept.task);
        feed(std::move(stored));
    }
    template <class Kind>
    std::vector<Rank> told() const {
        std::vector<Rank> ranks;
        for (const action::Send& send : sent) {
            if (std::holds_alternative<Kind>(send.message)) ranks.push_back(send.to);
        }
        return ranks;
    }
    template <class Kind>
    const Kind& last() const {
        for (auto send = sent.rbegin(); send != sent.rend(); ++send) {
            if (const auto* kind = std::get_if<Kind>(&send->message)) return *kind;
        }
        throw std::runtime_error("no such message was sent");
    }

    Scheduler scheduler;
    double now_s = 0.0;
    std::vector<action::Send> sent;
    std::vector<TaskResult> to_store;
    std::vector<std::string> warnings;
    std::map<Rank, LeaseId> last_lease;
    std::map<std::uint32_t, LeaseId> leases;  ///< the newest of each task
    std::uint64_t sequence = 0;
};

std::vector<Task> equal_tasks(std::uint32_t count, std::uint64_t affinities = 1) {
    std::vector<Task> tasks = make_tasks(count, affinities);
    for (Task& task : tasks) task.cost = 2.0;
    return tasks;
}

std::vector<std::uint32_t> numbers(const std::vector<LeasedTask>& tasks) {
    std::vector<std::uint32_t> result;
    for (const LeasedTask& task : tasks) result.push_back(task.task.id.value);
    return result;
}

TEST(Leases, AreHalfOfTheFairShareBeyondTheFreeSlots) {
    Script script(equal_tasks(80), {0, 1});
    script.join(0);
    script.join(1);
    EXPECT_EQ(script.want(0, 0, kMany).size(), 20u);   // half of 80 / 2
    EXPECT_EQ(script.want(1, 30, kMany).size(), 30u);  // slots come first, up to the share of 40
    EXPECT_EQ(script.scheduler.counts().waiting, 30u);
}

TEST(Leases, ShrinkTowardsTheEndToSingleTasks) {
    Script script(equal_tasks(64), {0, 1});
    script.join(0);
    script.join(1);
    std::vector<std::size_t> sizes;
    while (script.scheduler.counts().waiting > 0) {
        const std::vector<LeasedTask> tasks = script.want(0, 0, kMany);
        sizes.push_back(tasks.size());
        ASSERT_FALSE(tasks.empty());
        script.want(0, 0, 0);
        for (const LeasedTask& task : tasks) script.result(0, task.task.id.value);
        script.store_all();
    }
    EXPECT_EQ(sizes.front(), 16u);
    EXPECT_EQ(sizes.back(), 1u);
    EXPECT_TRUE(std::is_sorted(sizes.rbegin(), sizes.rend()));
}

TEST(Leases, CountWorkersThatHaveNotJoinedYet) {
    Script script(equal_tasks(80), {0, 1, 2, 3});
    script.join(0);
    EXPECT_EQ(script.want(0, kMany, kMany).size(), 20u);
}

TEST(Leases, FollowTheSpeedOfWorkers) {
    Script script(equal_tasks(80), {0, 1});
    script.join(0, 3.0);
    script.join(1, 1.0);
    EXPECT_EQ(script.want(0, kMany, kMany).size(), 60u);
    EXPECT_EQ(script.want(1, kMany, kMany).size(), 20u);
}

TEST(Leases, AreNeverMoreThanAskedFor) {
    Script script(equal_tasks(80), {0});
    script.join(0);
    EXPECT_EQ(script.want(0, 2, 5).size(), 5u);
    // A status from before that lease arrived asks for the same five again.
    script.last_lease[0] = LeaseId{0};
    EXPECT_THAT(script.want(0, 2, 5), IsEmpty());
}

TEST(Leases, HandOutDearTasksFirst) {
    std::vector<Task> tasks = equal_tasks(5);
    tasks[3].cost = 9.0;
    tasks[1].cost = 5.0;
    Script script(std::move(tasks), {0});
    script.join(0);
    EXPECT_THAT(numbers(script.want(0, 5, 5)), ElementsAre(3, 1, 0, 2, 4));
}

TEST(Leases, CostsThatAreNoNumbersCountAsOne) {
    std::vector<Task> tasks = equal_tasks(4);
    tasks[0].cost = std::numeric_limits<double>::quiet_NaN();
    tasks[1].cost = -3.0;
    tasks[2].cost = std::numeric_limits<double>::infinity();
    Script script(std::move(tasks), {0});
    script.join(0);
    EXPECT_THAT(numbers(script.want(0, 4, 4)), ElementsAre(3, 0, 1, 2));
}

TEST(Affinity, WorkersStayWithWhatTheyLoadedAndSpreadOverTheRest) {
    Script script(equal_tasks(30, 3), {0, 1});
    script.join(0);
    script.join(1);
    for (const LeasedTask& task : script.want(0, 4, 4)) EXPECT_EQ(task.task.affinity, 0u);
    for (const LeasedTask& task : script.want(1, 4, 4)) EXPECT_EQ(task.task.affinity, 1u);
    std::set<std::uint64_t> later;
    for (int round = 0; round < 3; ++round) {
        for (const LeasedTask& task : script.want(0, 2, 2)) later.insert(task.task.affinity);
        if (round == 2) break;
    }
    EXPECT_THAT(later, ElementsAre(0u)) << "four and six of its ten tasks are gone: only now may it change";
    for (const LeasedTask& task : script.want(0, 2, 2)) EXPECT_EQ(task.task.affinity, 2u);
}

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

TEST(Results, DoubledOnesAreStoredOnceAndAcknowledgedEachTime) {
    Script script(equal_tasks(3), {0});
    script.join(0);
    script.want(0, 3, 3);
    script.result(0, 1);
    script.result(0, 1);
    ASSERT_EQ(script.to_store.size(), 1u);
    script.store_all();
    EXPECT_EQ(script.last<message::Acknowledge>().tasks.size(), 2u);
    script.result(0, 1);
    EXPECT_THAT(script.to_store, IsEmpty());
    EXPECT_THAT(script.told<message::Acknowledge>(), ElementsAre(0));
}

TEST(Results, TheFirstSuccessWinsEvenFromAWorkerThoughtLost) {
    Script script(equal_tasks(1), {0, 1});
    script.join(0);
    script.join(1);
    script.want(0, 1, 1);
    const LeaseId old = script.leases.at(0);
    script.feed(event::PeerLost{0, "unreachable"});
    ASSERT_THAT(numbers(script.want(1, 1, 1)), ElementsAre(0));
    script.result(0, 0, old);
    EXPECT_THAT(script.told<message::Withdraw>(), ElementsAre(1)) << "the other one need not start it";
    script.store_all();
    EXPECT_THAT(script.told<message::Acknowledge>(), ElementsAre(0));
    EXPECT_TRUE(script.scheduler.over());
    script.result(1, 0);
    EXPECT_THAT(script.to_store, IsEmpty());
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

TEST(Strikes, GoToStartedTasksOfALostWorkerAlone) {
    Script script(equal_tasks(6), {0, 1});
    script.join(0);
    script.join(1);
    ASSERT_EQ(script.want(0, 3, 3).size(), 3u);
    script.want(0, 0, 0, 2);  // one started, two queued
    script.now_s = 61.0;
    script.receive(1, message::Pulse{});
    script.feed(event::Tick{});
    script.now_s = 61.1;
    script.feed(event::Tick{});
    EXPECT_THAT(script.scheduler.lost_workers(), IsEmpty()) << "the manager itself was away";
    for (; script.now_s < 130.0; script.now_s += 1.0) {
        script.receive(1, message::Pulse{});
        script.feed(event::Tick{});
    }
    EXPECT_THAT(script.scheduler.lost_workers(), ElementsAre(0));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("strike 1 of 3"));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{1}), ::testing::Not(HasSubstr("strike")));
    EXPECT_THAT(numbers(script.want(1, 6, 6)), ElementsAre(1, 2, 3, 4, 5, 0)) << "struck ones come last";
}

TEST(Strikes, TheThirdCrashEndsATaskThatBeforeRanAlone) {
    Script script(equal_tasks(4), {0});
    for (const Rank rank : {0, 1}) {
        if (rank == 0) script.join(0);
        ASSERT_EQ(script.want(rank, 4, 4).size(), 4u);
        script.join(rank + 1);
        script.feed(event::PeerLost{rank, "killed"});
    }
    // Which of the four kills its worker? Each runs alone now.
    const std::vector<LeasedTask> first = script.want(2, 4, 4);
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0].attempt, 3u);
    EXPECT_THAT(script.want(2, 3, 3), IsEmpty()) << "the next waits until the worker holds nothing";
    script.result(2, first[0].task.id.value);
    const std::vector<LeasedTask> second = script.leased_to(2);
    ASSERT_EQ(second.size(), 1u);
    script.store_all();
    script.feed(event::PeerLost{2, "killed"});
    ASSERT_EQ(script.to_store.size(), 1u);
    EXPECT_EQ(script.to_store[0].task, second[0].task.id);
    EXPECT_TRUE(script.to_store[0].payload.empty());
    EXPECT_EQ(script.to_store[0].failure->category, FailureCategory::permanent);
    EXPECT_THAT(script.to_store[0].failure->message, HasSubstr("killed"));
}

TEST(Strikes, AreTakenBackWhenTheWorkerTurnsOutToLive) {
    Script script(equal_tasks(1), {0, 1});
    script.join(0);
    script.want(0, 1, 1);
    script.feed(event::PeerLost{0, "unreachable"});
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("strike 1"));
    // Its heartbeat says that it still works on the task: nobody else need do that.
    script.receive(0, message::Heartbeat{script.status(0, 0, 0), {{TaskIndex{0}, script.leases.at(0)}}});
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("is with rank 0"));
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{0}), HasSubstr("strike 0"));
    script.join(1);
    EXPECT_THAT(script.want(1, 1, 1), IsEmpty());
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

TEST(Failures, ALostDeviceBarsTheWorkerAndItsTaskGoesElsewhere) {
    Script script(equal_tasks(6), {0, 1});
    script.join(0);
    script.join(1);
    script.want(0, 3, 3);
    script.result(0, 0, TaskFailure{FailureCategory::device_lost, "GPU fell off the bus"});
    EXPECT_THAT(script.told<message::Recall>(), ElementsAre(0));
    EXPECT_THAT(script.want(0, 3, 3), IsEmpty());
    EXPECT_THAT(script.scheduler.explain_worker(0, 0.0), HasSubstr("GPU fell off the bus"));
    const std::vector<std::uint32_t> others = numbers(script.want(1, 6, 6));
    EXPECT_THAT(others, ::testing::Contains(0u));
}

TEST(Recall, FetchesQueuedTasksForAnIdleWorker) {
    Script script(equal_tasks(8), {0, 1});
    script.join(0);
    EXPECT_EQ(script.want(0, 4, 8).size(), 4u);
    EXPECT_EQ(script.want(0, 4, 8).size(), 0u) << "the other half belongs to the worker still to come";
    script.feed(event::PeerLost{1, "never came"});
    EXPECT_EQ(script.leased_to(0).size(), 4u);
    script.want(0, 0, 0, 5);  // three run, five are queued
    script.join(1);
    script.want(1, 4, 5);
    ASSERT_THAT(script.told<message::Recall>(), ElementsAre(0));
    EXPECT_EQ(script.last<message::Recall>().tasks, 3u);
    script.want(1, 4, 6);
    EXPECT_THAT(script.told<message::Recall>(), IsEmpty()) << "one recall at a time";
    script.sent.clear();
    script.receive(
        0, message::Returned{{{TaskIndex{7}, script.leases.at(7)}, {TaskIndex{6}, script.leases.at(6)}}});
    const std::vector<LeasedTask> fetched = script.leased_to(1);
    EXPECT_THAT(numbers(fetched), ElementsAre(6, 7));
    EXPECT_EQ(fetched[0].attempt, 1u) << "it was never started";
}

TEST(Messages, ALeaseThatGotLostIsSentAgainOrTakenBack) {
    Script script(equal_tasks(4), {0});
    script.join(0);
    script.want(0, 2, 2);
    script.now_s = 6.0;
    script.sent.clear();
    WorkerStatus blind = script.status(0, 0, 0);
    blind.lease_seen = LeaseId{0};
    script.receive(0, message::Heartbeat{blind, {}});
    EXPECT_THAT(numbers(script.leased_to(0)), ElementsAre(0, 1)) << "not seen for longer than resend_s";
    script.sent.clear();
    script.receive(0, message::Heartbeat{script.status(0, 0, 0), {{TaskIndex{1}, LeaseId{1}}}});
    EXPECT_EQ(script.scheduler.counts().leased, 1u) << "task 0 is not there although its lease is";
    EXPECT_EQ(script.scheduler.counts().waiting, 3u);
}

TEST(Messages, AnOldStatusIsIgnored) {
    Script script(equal_tasks(4), {0});
    script.join(0);
    const WorkerStatus old = script.status(0, 4, 4);
    script.want(0, 0, 0);
    script.receive(0, message::Status{old});
    EXPECT_EQ(script.scheduler.counts().leased, 0u);
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
        script.receive(0, message::Heartbeat{script.status(0, 0, 0), {}});
        script.feed(event::Tick{});
    }
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_THAT(script.scheduler.lost_workers(), ElementsAre(0));
    script.receive(0, message::Heartbeat{script.status(0, 0, 0), {}});
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
    script.result(0, 0);
    EXPECT_EQ(script.to_store.size(), 1u) << "sent again, it gets another try";
    script.store_all();
    script.receive(0, message::Leave{});
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_EQ(script.scheduler.counts().done, 2u);
    EXPECT_EQ(script.scheduler.counts().waiting, 1u);
}

TEST(Limit, TakesTheFirstTasksOfTheList) {
    Options options;
    options.limit = 2;
    Script script(make_tasks(9), {0}, options);
    script.join(0);
    EXPECT_THAT(numbers(script.want(0, 9, 9)), ElementsAre(1, 0));
    EXPECT_EQ(script.scheduler.counts().beyond_limit, 7u);
    EXPECT_THAT(script.scheduler.explain_task(TaskIndex{5}), HasSubstr("beyond the limit"));
    script.result(0, 0);
    script.result(0, 1);
    script.store_all();
    EXPECT_TRUE(script.scheduler.over());
    EXPECT_FALSE(script.scheduler.stopping());
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

}  // namespace
}  // namespace memcap::sched::testing
