// Whole runs of a manager, an agent and its compute process, which crashes, hangs or stops.
#include "memcap/agent/agent.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "memcap/agent/compute_link.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/sched/local_transport.hpp"
#include "sched/run_list.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::agent::testing {
namespace {

using namespace sched::testing;

constexpr std::uint32_t kTasks = 40;

struct Finished {
    MemorySink sink;
    sched::RunOutcome outcome;
};

Finished run_with(std::vector<std::string> arguments, AgentOptions options = {}) {
    Finished run;
    const auto [manager_end, agent_end] = sched::make_local_transport();
    arguments.insert(arguments.begin(), "child");
    Agent agent({.command = {MEMCAP_AGENT_CHILD, std::move(arguments)},
                 .place = bytes_of("its place"),
                 .manager = agent_end.get(),
                 .exchange = nullptr,
                 .options = options});
    sched::ManagerSetup setup = setup_of(make_tasks(kTasks), run.sink);
    setup.options.worker_deadline_s = 30.0;
    setup.local = manager_end.get();
    setup.poll_hook = [&agent] { return agent.step(monotonic_s()); };
    const std::atomic<bool> never = false;
    run.outcome = sched::run_manager(std::move(setup), never);
    const double until_s = monotonic_s() + 10.0;
    while (!agent.ended() && monotonic_s() < until_s) agent.step(monotonic_s());
    EXPECT_TRUE(agent.ended());
    EXPECT_FALSE(agent.manager_lost());
    return run;
}

void expect_all_done(const Finished& run) {
    EXPECT_EQ(run.outcome.done, kTasks);
    EXPECT_EQ(run.outcome.failed, 0u);
    EXPECT_EQ(run.outcome.remaining, 0u);
    expect_each_once(run.sink, kTasks);
    for (const auto& [index, results] : run.sink.results) {
        EXPECT_EQ(text_of(results[0].payload), "result of " + std::to_string(index) + " with its place");
    }
}

TEST(Agent, PassesOnWhatItsProcessAndTheManagerSay) {
    expect_all_done(run_with({"honest"}));
}

TEST(Agent, StartsAProcessAgainThatCrashed) {
    const test::TemporaryFolder folder;
    const Finished run = run_with({"crash-once", (folder / "crashed").string()});
    expect_all_done(run);
    EXPECT_EQ(run.outcome.lost_workers, 0u);
    EXPECT_TRUE(run.outcome.worker_errors.empty());
}

TEST(Agent, StartsAnotherProcessForOneThatHasLostItsDevice) {
    const test::TemporaryFolder folder;
    const Finished run = run_with({"end", (folder / "ended").string()});
    expect_all_done(run);
    EXPECT_TRUE(run.outcome.worker_errors.empty());
    ASSERT_FALSE(run.sink.crashes.empty());
    EXPECT_NE(run.sink.crashes[0].second.find("the device is gone"), std::string::npos);
}

TEST(Agent, StartsAnotherProcessWhereTheDeviceOfTheFirstIsBarred) {
    const test::TemporaryFolder folder;
    const Finished run = run_with({"sick", (folder / "sick").string()});
    expect_all_done(run);
    EXPECT_TRUE(run.outcome.barred_workers.empty()) << "it has come back";
    EXPECT_EQ(run.outcome.lost_workers, 0u);
}

TEST(Agent, EndsAProcessWhoseComputingThreadHangs) {
    const test::TemporaryFolder folder;
    const double start_s = monotonic_s();
    expect_all_done(run_with({"hang", (folder / "hung").string()}));
    EXPECT_LT(monotonic_s() - start_s, 10.0);
}

TEST(Agent, KillsAProcessThatSaysNothing) {
    const test::TemporaryFolder folder;
    AgentOptions options;
    options.silence_s = 0.5;
    expect_all_done(run_with({"stop", (folder / "stopped").string()}, options));
}

TEST(Agent, EndsAProcessThatComputesOnAfterTheEndOfTheRun) {
    const auto [manager_end, agent_end] = sched::make_local_transport();
    AgentOptions options;
    options.goodbye_s = 0.2;
    Agent agent({.command = {MEMCAP_AGENT_CHILD, {"child", "deaf"}},
                 .place = {},
                 .manager = agent_end.get(),
                 .exchange = nullptr,
                 .options = options});
    MemorySink sink;
    sched::ManagerSetup setup = setup_of(make_tasks(kTasks), sink);
    setup.options.drain_s = 0.2;
    setup.local = manager_end.get();
    setup.poll_hook = [&agent] { return agent.step(monotonic_s()); };
    std::atomic<bool> stop = false;
    setup.on_progress = [&](const sched::Progress&) { stop = sink.appended > 0; };
    sched::run_manager(std::move(setup), stop);
    for (const double until_s = monotonic_s() + 10.0; !agent.ended() && monotonic_s() < until_s;)
        agent.step(monotonic_s());
    EXPECT_TRUE(agent.ended());
    EXPECT_EQ(agent.pid(), -1);
}

TEST(Agent, ATaskThatAlwaysCrashesFailsAndTheOthersAreDone) {
    const Finished run = run_with({"crash", "7"});
    EXPECT_EQ(run.outcome.done, kTasks - 1);
    EXPECT_EQ(run.outcome.failed, 1u);
    ASSERT_EQ(run.sink.results.count(7), 1u);
    const auto& failure = run.sink.results.at(7)[0].failure;
    ASSERT_TRUE(failure.has_value());
    EXPECT_NE(failure->message.find("SIGSEGV"), std::string::npos) << failure->message;
}

TEST(Agent, GivesUpOnAProcessThatNeverComesToWork) {
    AgentOptions options;
    options.most_crashes = 3;
    options.most_pause_s = 0.05;
    const Finished run = run_with({"leave-at-once"}, options);
    EXPECT_EQ(run.outcome.remaining, kTasks);
    ASSERT_EQ(run.outcome.worker_errors.size(), 1u);
    EXPECT_NE(run.outcome.worker_errors[0].find("3 times in a row, the last time: ended with status 3"),
              std::string::npos)
        << run.outcome.worker_errors[0];
}

TEST(Agent, SaysWhatCannotBeStarted) {
    const auto [manager_end, agent_end] = sched::make_local_transport();
    Agent agent({.command = {"/there/is/no/such/program", {"child"}},
                 .place = {},
                 .manager = agent_end.get(),
                 .exchange = nullptr,
                 .options = {}});
    agent.step(monotonic_s());
    const auto said = manager_end->poll();
    ASSERT_TRUE(said.has_value());
    const auto failed = std::get<sched::message::Failed>(sched::decode_message(said->bytes));
    EXPECT_NE(failed.reason.find("/there/is/no/such/program"), std::string::npos) << failed.reason;
    EXPECT_NE(failed.reason.find("No such file"), std::string::npos) << failed.reason;
}

TEST(Life, OfAProcessThatWasStoppedIsOverdueLater) {
    Life life;
    EXPECT_LT(life.overdue_s(), 0.0) << "nothing is due before the first sign";
    life.sign(-1.0);
    EXPECT_GT(life.overdue_s(), 0.0);
    life.postpone(60.0);
    EXPECT_LT(life.overdue_s(), -50.0);
    life.rest();
    life.postpone(60.0);
    EXPECT_LT(life.overdue_s(), -1e9);
}

/// Its agent is killed, not asked: nobody must compute on for nobody.
TEST(Agent, TakesItsProcessAlongWhenItIsKilled) {
    const test::TemporaryFolder folder;
    const auto pid_file = folder / "pid";
    const pid_t agent_pid = ::fork();
    if (agent_pid == 0) {
        const auto [manager_end, agent_end] = sched::make_local_transport();
        Agent agent({.command = {MEMCAP_AGENT_CHILD, {"child", "honest"}},
                     .place = {},
                     .manager = agent_end.get(),
                     .exchange = nullptr,
                     .options = {}});
        // Its join is the sign that it runs.
        while (!manager_end->poll()) agent.step(monotonic_s());
        std::ofstream(pid_file.string() + ".new") << agent.pid() << std::endl;
        std::filesystem::rename(pid_file.string() + ".new", pid_file);
        ::pause();
        _exit(0);
    }
    pid_t child = 0;
    for (const double until_s = monotonic_s() + 20.0; child == 0 && monotonic_s() < until_s;) {
        std::ifstream(pid_file) >> child;
    }
    ASSERT_GT(child, 0);
    EXPECT_EQ(::kill(child, 0), 0);
    ::kill(agent_pid, SIGKILL);
    ::waitpid(agent_pid, nullptr, 0);
    bool gone = false;
    for (const double until_s = monotonic_s() + 5.0; !gone && monotonic_s() < until_s;) {
        std::ifstream status("/proc/" + std::to_string(child) + "/stat");
        std::string number;
        std::string name;
        std::string state;
        status >> number >> name >> state;
        gone = state.empty() || state == "Z" || state == "X";
    }
    EXPECT_TRUE(gone);
}

}  // namespace
}  // namespace memcap::agent::testing
