// Whole runs of one process: a manager and its own worker over the local transport.
#include <gtest/gtest.h>

#include "memcap/sched/manager.hpp"
#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {
namespace {

const std::atomic<bool> kNeverStop = false;

ManagerSetup local_setup(std::uint32_t tasks, MemorySink& sink, ExecutorFactory factory = honest_factory()) {
    ManagerSetup setup;
    setup.tasks = make_tasks(tasks, 3);
    setup.sink = &sink;
    setup.options = quick_options();
    setup.local_executor = std::move(factory);
    setup.local_facts = {"here", "cpu", 1.0};
    return setup;
}

TEST(LocalRun, EveryTaskEndsExactlyOnceWithItsOwnResult) {
    MemorySink sink;
    const RunOutcome outcome = run_manager(local_setup(500, sink), kNeverStop);
    EXPECT_EQ(outcome.done, 500u);
    EXPECT_EQ(outcome.failed + outcome.remaining + outcome.lost_workers, 0u);
    EXPECT_FALSE(outcome.stopped);
    ASSERT_EQ(sink.results.size(), 500u);
    for (const auto& [index, results] : sink.results) {
        ASSERT_EQ(results.size(), 1u);
        EXPECT_EQ(text_of(results[0].payload), "result of " + std::to_string(index));
        EXPECT_EQ(results[0].attempt, 1u);
    }
    EXPECT_TRUE(sink.unsynced.empty());
}

}  // namespace
}  // namespace memcap::sched::testing
