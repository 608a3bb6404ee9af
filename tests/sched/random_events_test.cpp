// Thousands of simulated runs in every kind of weather: each task ends exactly once, none is lost or leased
// twice, and every run ends in time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>

#include "sched/simulation.hpp"

namespace memcap::sched::testing {
namespace {

/// MEMCAP_RANDOM_ROUNDS asks for more rounds than the default.
std::uint64_t rounds() {
    const char* text = std::getenv("MEMCAP_RANDOM_ROUNDS");
    return text == nullptr ? 400 : std::strtoull(text, nullptr, 10);
}

/// `rare` are things that must have happened in some of the runs.
void run_many(const Weather& weather, std::initializer_list<const char*> rare = {}) {
    std::set<std::string> marks;
    for (std::uint64_t seed = 0; seed < rounds(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Simulation simulation(seed, weather);
        simulation.run();
        if (::testing::Test::HasFailure()) return;
        marks.insert(simulation.marks().begin(), simulation.marks().end());
    }
    for (const char* mark : rare) EXPECT_THAT(marks, ::testing::Contains(mark)) << "it never happened";
}

TEST(RandomEvents, CalmWeatherRunsEachTaskExactlyOnce) {
    for (std::uint64_t seed = 0; seed < rounds(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Simulation simulation(seed, Weather{});
        simulation.run();
        EXPECT_EQ(simulation.executions(), simulation.scheduler().counts().total);
        EXPECT_FALSE(simulation.scheduler().stopping());
        if (HasFailure()) return;
    }
}

TEST(RandomEvents, MoreWorkersThanTasks) {
    Weather weather;
    weather.max_tasks = 4;
    weather.min_workers = 6;
    weather.max_workers = 12;
    weather.crash = 0.2;
    weather.death = 0.2;
    run_many(weather);
}

TEST(RandomEvents, ProcessesCrashAndAreStartedAgain) {
    Weather weather;
    weather.crash = 0.6;
    weather.late_join = 0.3;
    weather.max_delay_s = 0.5;
    run_many(weather, {"a crash that takes tasks with it", "a lease to a dead process",
                       "a lease for the process before", "a crash at the end", "a task given up",
                       "a worker that gets no more tasks"});
}

TEST(RandomEvents, NodesDie) {
    Weather weather;
    weather.death = 0.4;
    weather.late_join = 0.3;
    run_many(weather);
}

TEST(RandomEvents, WorkersThoughtLostComeBackAndCrash) {
    Weather weather;
    weather.stall = 0.7;
    weather.away = 0.3;
    weather.crash = 0.2;
    weather.max_delay_s = 0.5;
    run_many(weather, {"a lost worker joins again", "a crash of a worker thought lost",
                       "a result of a worker thought lost", "a lease of what still runs here"});
}

TEST(RandomEvents, LateMessages) {
    Weather weather;
    weather.max_delay_s = 3.0;
    run_many(weather, {"a recall that brings nothing"});
}

TEST(RandomEvents, GuiltyTasksFailAndTakeNoInnocentOnesWithThem) {
    Weather weather;
    weather.poison = 0.04;
    weather.permanent = 0.1;
    weather.flaky = 0.1;
    run_many(weather, {"a task given up"});
}

TEST(RandomEvents, WorkersLeaveThrowAndLoseDevices) {
    Weather weather;
    weather.leave = 0.3;
    weather.throwing = 0.2;
    weather.device_lost = 0.2;
    run_many(weather, {"a worker that starts anew", "a barred worker that comes back"});
}

TEST(RandomEvents, JobsEnd) {
    Weather weather;
    weather.ends = 0.8;
    weather.crash = 0.2;
    weather.max_delay_s = 0.5;
    run_many(weather, {"a job that ends"});
}

TEST(RandomEvents, SomeWorkersCannotRunEverything) {
    Weather weather;
    weather.blind = 0.5;
    weather.max_workers = 4;
    weather.late_join = 0.2;
    weather.max_delay_s = 0.5;
    weather.flaky = 0.1;
    run_many(weather, {"a task that nobody can run", "a run that ends since all fails alike"});
}

TEST(RandomEvents, StopAndFullDisk) {
    Weather weather;
    weather.stop = 0.5;
    weather.bad_disk = 0.5;
    weather.crash = 0.2;
    run_many(weather);
}

TEST(RandomEvents, TheLimitIsKept) {
    Weather weather;
    weather.limit = 7;
    weather.crash = 0.2;
    run_many(weather);
}

TEST(RandomEvents, EverythingAtOnce) {
    Weather weather;
    weather.max_delay_s = 1.0;
    weather.crash = 0.3;
    weather.death = 0.1;
    weather.stall = 0.3;
    weather.leave = 0.1;
    weather.late_join = 0.3;
    weather.poison = 0.02;
    weather.permanent = 0.05;
    weather.flaky = 0.05;
    weather.device_lost = 0.1;
    weather.throwing = 0.1;
    weather.ends = 0.1;
    weather.blind = 0.05;
    weather.stop = 0.1;
    weather.away = 0.2;
    weather.bad_disk = 0.1;
    weather.max_workers = 12;
    run_many(weather);
}

}  // namespace
}  // namespace memcap::sched::testing
