// Who gets which tasks: shares, affinity, order, recalls, the limit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "sched/script.hpp"

namespace memcap::sched::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint32_t kMany = 1000;

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

TEST(Recall, FetchesQueuedTasksForAnIdleWorker) {
    Script script(equal_tasks(8), {0, 1});
    script.join(0);
    EXPECT_EQ(script.want(0, 4, 8).size(), 4u);
    EXPECT_EQ(script.want(0, 4, 8).size(), 0u) << "the other half belongs to the worker still to come";
    script.feed(event::PeerLost{1, "never came"});
    EXPECT_EQ(script.leased_to(0).size(), 4u);
    script.start(0, {0, 1, 2});
    script.join(1);
    script.want(1, 4, 5);
    ASSERT_THAT(script.told<message::Recall>(), ElementsAre(0));
    EXPECT_EQ(script.last<message::Recall>().tasks, 3u) << "half of the five that are queued";
    script.want(1, 4, 6);
    EXPECT_THAT(script.told<message::Recall>(), IsEmpty()) << "one recall at a time";
    script.sent.clear();
    script.receive(
        0, message::Returned{{{TaskIndex{7}, script.leases.at(7)}, {TaskIndex{6}, script.leases.at(6)}}});
    const std::vector<LeasedTask> fetched = script.leased_to(1);
    EXPECT_THAT(numbers(fetched), ElementsAre(6, 7));
    EXPECT_EQ(fetched[0].attempt, 1u) << "it was never started";
}

TEST(Recall, AsksForNoMoreThanThereAreIdleWorkers) {
    Script script(equal_tasks(9), {0, 1, 2});
    for (const Rank rank : {0, 1, 2}) script.join(rank);
    for (const Rank rank : {0, 1, 2}) EXPECT_EQ(script.want(rank, 3, 3).size(), 3u);
    for (const std::uint32_t task : {6, 7, 8}) script.result(2, task);
    script.want(2, 3, 3);
    ASSERT_EQ(script.told<message::Recall>().size(), 1u);
    script.want(2, 3, 4);
    EXPECT_THAT(script.told<message::Recall>(), IsEmpty()) << "rank 0 or 1 still has some, but one was asked";
}

TEST(Recall, LeavesWorkersAloneThatAnsweredWithNothingSinceAllHadStarted) {
    Script script(equal_tasks(4), {0, 1});
    script.join(0);
    script.join(1);
    script.want(0, 2, 2);
    script.take(1, 2);
    for (const std::uint32_t task : {2, 3}) script.result(1, task);
    script.want(1, 1, 1);
    ASSERT_THAT(script.told<message::Recall>(), ElementsAre(0));
    script.start(0, {0, 1});
    script.receive(0, message::Returned{});
    EXPECT_THAT(script.want(1, 1, 2), IsEmpty());
    EXPECT_THAT(script.told<message::Recall>(), IsEmpty());
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

}  // namespace
}  // namespace memcap::sched::testing
