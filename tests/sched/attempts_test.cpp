// What the scheduler tells of attempts and workers for those who ask later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/script.hpp"

namespace memcap::sched {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Script;

std::vector<Task> tasks(std::uint64_t count) {
    std::vector<Task> list(count);
    for (std::uint64_t task = 0; task < count; ++task) list[task].key = {7, task};
    return list;
}

TaskResult result(std::uint32_t task, bool fails = false) {
    TaskResult result{.task = TaskIndex{task}, .attempt = 1, .failure = {}, .payload = {}};
    if (fails) result.failure = TaskFailure{FailureCategory::retryable, "out of memory"};
    return result;
}

class Attempts : public ::testing::Test {
  protected:
    void finish(Rank rank, std::uint32_t task, bool fails = false) {
        script.receive(rank, message::Result{script.leases.at(task), result(task, fails)});
    }
    WorkerView view(Rank rank) const { return script.scheduler.workers().at(static_cast<std::size_t>(rank)); }

    Script script{tasks(3), {0, 1}};
};

TEST_F(Attempts, AStartNamesTheTasksAndTheWorkersHostAndDevice) {
    script.join(0, 1.0, "n1");
    script.take(0, 1);
    ASSERT_EQ(script.attempts.size(), 1U);
    const AttemptNote& note = script.attempts.back();
    EXPECT_EQ(note.event, AttemptEvent::started);
    EXPECT_EQ(note.rank, 0);
    EXPECT_EQ(note.host, "n1");
    EXPECT_EQ(note.device, "cpu");
    ASSERT_EQ(note.attempts.size(), 1U);
    EXPECT_EQ(note.attempts[0].task, script.scheduler.task(TaskIndex{0}).key);
    EXPECT_EQ(note.attempts[0].number, 1U);
    // A result is a record of its own.
    finish(0, 0);
    EXPECT_EQ(script.attempts.size(), 1U);
}

TEST_F(Attempts, EveryEndWithoutAResultIsToldWithItsReason) {
    script.join(0);
    script.take(0, 1);
    finish(0, 0, true);
    EXPECT_EQ(script.attempts.back().event, AttemptEvent::failed);
    EXPECT_EQ(script.attempts.back().reason, "out of memory");
    script.take(0, 1);
    script.receive(0, message::Crashed{"signal 11"});
    EXPECT_EQ(script.attempts.back().event, AttemptEvent::crashed);
    EXPECT_THAT(script.attempts.back().reason, HasSubstr("signal 11"));
    script.join(0);
    const auto taken = script.take(0, 1);
    const std::uint32_t task = taken.at(0).task.id.value;
    script.receive(0, message::Returned{{{TaskIndex{task}, script.leases.at(task)}}});
    EXPECT_EQ(script.attempts.back().event, AttemptEvent::given_back);
    EXPECT_EQ(script.attempts.back().attempts.at(0).task, script.scheduler.task(TaskIndex{task}).key);
}

TEST_F(Attempts, WhatWasNotStartedIsNoAttempt) {
    script.join(0);
    const auto leased = script.want(0, 1, 1);
    const std::uint32_t task = leased.at(0).task.id.value;
    script.receive(0, message::Returned{{{TaskIndex{task}, script.leases.at(task)}}});
    EXPECT_THAT(script.attempts, IsEmpty());
}

TEST_F(Attempts, AWorkerIsSeenAsWhatItDoes) {
    EXPECT_EQ(view(1).activity, WorkerActivity::starting);
    EXPECT_EQ(view(1).why, "it has not joined yet");
    script.join(0, 1.0, "n1");
    EXPECT_EQ(view(0).activity, WorkerActivity::idle);
    EXPECT_EQ(view(0).why, "it has not said yet that it wants work");
    script.take(0, 1);
    script.now_s = 5.0;
    script.feed(event::Tick{});
    const WorkerView working = view(0);
    EXPECT_EQ(working.activity, WorkerActivity::working);
    EXPECT_EQ(working.running, 1U);
    EXPECT_EQ(working.deed, "started");
    EXPECT_EQ(working.deed_task, script.scheduler.task(TaskIndex{0}).key);
    EXPECT_EQ(working.silent_s, 5.0);
    EXPECT_EQ(working.why, "");
    finish(0, 0);
    const WorkerView done = view(0);
    EXPECT_EQ(done.done, 1U);
    EXPECT_EQ(done.deed, "finished");
    EXPECT_EQ(done.silent_s, 0.0);
    EXPECT_GT(done.tasks_per_s, 0.0);
}

TEST(IdleWorker, SaysWhyItGetsNothing) {
    Script script{tasks(1), {0, 1}};
    script.join(0);
    script.join(1);
    script.want(0, 1, 1);
    script.want(1, 1, 1);
    EXPECT_EQ(script.scheduler.workers().at(0).activity, WorkerActivity::idle);
    EXPECT_THAT(script.scheduler.workers().at(0).why, HasSubstr("has been given 1 tasks and gets ready"));
    EXPECT_EQ(script.scheduler.workers().at(1).activity, WorkerActivity::idle);
    EXPECT_THAT(script.scheduler.workers().at(1).why, HasSubstr("no task waits"));
}

TEST_F(Attempts, ABarredWorkerIsSeenWithTheReason) {
    script.join(0);
    script.join(1);
    for (int crash = 0; crash < 3; ++crash) {
        script.take(0, 1);
        script.receive(0, message::Crashed{"signal 9"});
        if (crash < 2) script.join(0);
    }
    EXPECT_EQ(view(0).activity, WorkerActivity::barred);
    EXPECT_THAT(view(0).why, HasSubstr("signal 9"));
}

}  // namespace
}  // namespace memcap::sched
