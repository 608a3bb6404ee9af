// A run in which rank 1 is killed while it takes part in a broadcast of weights: the others read for
// themselves, finish everything, and rank 0 leaves with its status.
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <mutex>

#include "memcap/mpi/session.hpp"
#include "sched/run_list.hpp"
#include "weights/exchange_list.hpp"

namespace memcap::mpi::testing {
namespace {

using namespace sched::testing;
using namespace weights;
using namespace weights::testing;

constexpr std::uint32_t kTasks = 200;
const std::vector<std::size_t> kSizes{64'000'000};

/// Obtains weights before its first task; rank 1 dies after their first bytes.
class LoadingExecutor final : public sched::Executor {
  public:
    LoadingExecutor(WeightExchange& exchange, const RankFiles& files, int rank)
        : exchange_(exchange), files_(files), rank_(rank) {}

    void run(sched::WorkPort& port) override {
        const WeightRequest request{"model", files_.paths(), {}};
        const Obtained obtained = exchange_.obtain(request, [&port] { return port.stop_requested(); });
        if (rank_ == 1 && obtained.memory) {
            obtained.memory->wait_for(obtained.memory->files().front().bytes.first(1));
            kill(getpid(), SIGKILL);
        }
        const bool own = bytes_of(obtained, request) == RankFiles::all_of(rank_, kSizes);
        const bool got_some = obtained.way == (rank_ == 0 ? WeightWay::sent : WeightWay::received);
        StubExecutor stub(2, [&](const sched::LeasedTask& leased) {
            if (!own || !got_some) throw std::runtime_error("other bytes than those of its own files");
            return honest(leased);
        });
        stub.run(port);
    }

  private:
    WeightExchange& exchange_;
    const RankFiles& files_;
    int rank_;
};

int run(const char* report) {
    Session session;
    const int rank = session.rank();
    const std::unique_ptr<sched::Transport> transport = session.make_transport();
    const auto exchange =
        make_group_exchange(session.make_transport(), "node" + std::to_string(rank), exchange_options(20, 2));
    const RankFiles files(rank, kSizes);
    // Each rank works while it has tasks; slow polls leave time to die in the middle.
    const sched::PollHook hook = [&] {
        sleep_s(rank == 1 ? 0.02 : 0.0);
        return exchange->step();
    };
    const sched::ExecutorFactory factory = [&](std::span<const std::byte>) {
        return std::make_unique<LoadingExecutor>(*exchange, files, rank);
    };
    const std::atomic<bool> never_stop = false;
    if (rank > 0) {
        sched::run_worker(*transport, facts_of(rank), factory, never_stop, hook);
        return session.leave(0);
    }
    MemorySink sink;
    sched::ManagerSetup setup = setup_of(make_tasks(kTasks), sink);
    setup.options.worker_deadline_s = 1.0;
    const sched::RunOutcome outcome =
        run_manager_beside_worker(std::move(setup), transport.get(), factory, never_stop, hook);
    const bool right = outcome.done == kTasks && outcome.failed == 0 && outcome.lost_workers == 1 &&
                       outcome.worker_errors.empty();
    std::ofstream(report) << (right ? "PASSED" : "FAILED") << ": " << outcome.done << " done, "
                          << outcome.failed << " failed, " << outcome.lost_workers << " lost, "
                          << outcome.worker_errors.size() << " worker errors\n";
    session.rank_was_lost();
    return session.leave(75);
}

}  // namespace
}  // namespace memcap::mpi::testing

int main(int argc, char** argv) {
    return argc == 2 ? memcap::mpi::testing::run(argv[1]) : 2;
}
