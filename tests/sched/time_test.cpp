// The scheduler, scripted: what it starts shortly before the end of the job, and how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/script.hpp"

namespace memcap::sched::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Options ending_at(double end_s) {
    Options options;
    options.end_s = end_s;
    options.worker_deadline_s = 1e6;
    return options;
}

TEST(JobEnd, StartsNothingThatWouldNotBeSavedOnce) {
    Script script(equal_tasks(9), {0, 1}, ending_at(1000.0));
    script.join(0);
    script.join(1);
    script.now_s = 939.0;
    EXPECT_THAT(script.take(0, 1), SizeIs(1));
    script.now_s = 941.0;
    EXPECT_THAT(script.want(1, 1, 1), IsEmpty());
    script.feed(event::Tick{});
    EXPECT_FALSE(script.scheduler.stopping()) << "the first worker computes on";
}

TEST(JobEnd, StartsWhatEndsBefore) {
    Script script(equal_tasks(9, 2), {0}, ending_at(1000.0));
    script.join(0);
    script.now_s = 900.0;
    const std::vector<LeasedTask> first = script.take(0, 1);
    ASSERT_THAT(first, SizeIs(1));
    script.now_s = 910.0;
    script.result(0, first[0].task.id.value);
    script.now_s = 960.0;
    script.feed(event::Tick{});
    const std::vector<LeasedTask> next = script.take(0, 1);
    ASSERT_THAT(next, SizeIs(1)) << "the longest of its like took 10 s";
    EXPECT_EQ(next[0].task.affinity, first[0].task.affinity);
    script.now_s = 991.0;
    script.result(0, next[0].task.id.value);
    EXPECT_THAT(script.want(0, 1, 1), IsEmpty());
}

TEST(JobEnd, TakesBackWhatWouldStartTooLate) {
    Script script(equal_tasks(9), {0}, ending_at(1000.0));
    script.join(0);
    ASSERT_THAT(script.want(0, 1, 4), SizeIs(4));
    script.start(0, {0});
    script.sent.clear();
    script.now_s = 950.0;
    script.feed(event::Tick{});
    EXPECT_THAT(script.told<message::Recall>(), ElementsAre(0));
    script.sent.clear();
    script.feed(event::Tick{});
    EXPECT_THAT(script.told<message::Recall>(), IsEmpty()) << "once";
}

TEST(JobEnd, StopsWhatRunsThen) {
    Script script(equal_tasks(9), {0}, ending_at(1000.0));
    script.join(0);
    ASSERT_THAT(script.take(0, 1), SizeIs(1));
    script.now_s = 1000.0;
    script.sent.clear();
    script.feed(event::Tick{});
    EXPECT_THAT(script.told<message::Stop>(), ElementsAre(0));
    EXPECT_TRUE(script.scheduler.out_of_time());
    EXPECT_EQ(script.scheduler.stop_reason(), "the job's time is over");
    EXPECT_EQ(script.scheduler.counts().failed, 0u);
}

TEST(JobEnd, DoesNotWaitForItWithNothingToDo) {
    Script script(equal_tasks(9), {0}, ending_at(1000.0));
    script.join(0);
    script.want(0, 1, 0);
    script.now_s = 941.0;
    script.feed(event::Tick{});
    EXPECT_TRUE(script.scheduler.out_of_time());
}

TEST(JobEnd, ThatIsUnknownEndsNothing) {
    Script script(equal_tasks(9), {0});
    script.join(0);
    script.now_s = 50.0;
    script.feed(event::Tick{});
    EXPECT_THAT(script.want(0, 1, 1), SizeIs(1));
    EXPECT_FALSE(script.scheduler.out_of_time());
}

}  // namespace
}  // namespace memcap::sched::testing
