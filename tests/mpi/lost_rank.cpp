// A run in which rank 2 is killed while it computes: the others finish everything, and rank 0 leaves with its
// status.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>

#include "memcap/mpi/session.hpp"
#include "sched/run_list.hpp"

namespace memcap::mpi::testing {
namespace {

using namespace sched::testing;

constexpr std::uint32_t kTasks = 200;

std::unique_ptr<sched::Executor> executor_of(int rank) {
    return std::make_unique<StubExecutor>(2, [rank, count = 0](const sched::LeasedTask& leased) mutable {
        sleep_s(0.005);
        if (rank == 2 && ++count == 5) kill(getpid(), SIGKILL);
        return honest(leased);
    });
}

int run(const char* report) {
    Session session;
    const std::unique_ptr<sched::Transport> transport = session.make_transport();
    MemorySink sink;
    sched::ManagerSetup setup = setup_of(make_tasks(kTasks), sink);
    setup.options.worker_deadline_s = 1.0;
    const sched::RunOutcome outcome =
        run_rank({session.rank(), session.size(), transport.get()}, std::move(setup),
                 [&](std::span<const std::byte>) { return executor_of(session.rank()); });
    if (session.rank() > 0) return session.leave(0);
    const bool right = outcome.done == kTasks && outcome.failed == 0 && outcome.lost_workers == 1 &&
                       sink.results.size() == kTasks;
    std::ofstream(report) << (right ? "PASSED" : "FAILED") << ": " << outcome.done << " done, "
                          << outcome.failed << " failed, " << outcome.lost_workers << " lost\n";
    session.rank_was_lost();
    return session.leave(75);
}

}  // namespace
}  // namespace memcap::mpi::testing

int main(int argc, char** argv) {
    return argc == 2 ? memcap::mpi::testing::run(argv[1]) : 2;
}
