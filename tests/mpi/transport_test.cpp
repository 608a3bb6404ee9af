// The lists of transport checks and whole runs over real MPI.
#include <gtest/gtest.h>

#include <numeric>

#include "mpi/world.hpp"
#include "sched/run_list.hpp"
#include "sched/transport_list.hpp"

namespace memcap::mpi::testing {
namespace {

using namespace sched::testing;

class EveryTransport : public ::testing::TestWithParam<TransportCheck> {};

TEST_P(EveryTransport, Mpi) {
    const std::unique_ptr<sched::Transport> transport = session().make_transport();
    EXPECT_EQ(transport->rank(), session().rank());
    EXPECT_EQ(transport->size(), session().size());
    TransportEnd end{*transport, session().rank() == 0, session().rank(), {}};
    end.workers.resize(static_cast<std::size_t>(session().size() - 1));
    std::iota(end.workers.begin(), end.workers.end(), 1);
    GetParam().body(end);
}

INSTANTIATE_TEST_SUITE_P(Checks, EveryTransport, ::testing::ValuesIn(kTransportChecks),
                         [](const auto& test) { return test.param.name; });

class EveryRun : public ::testing::TestWithParam<RunCase> {};

TEST_P(EveryRun, Mpi) {
    const std::unique_ptr<sched::Transport> transport = session().make_transport();
    GetParam().body({session().rank(), session().size(), session().size() > 1 ? transport.get() : nullptr});
}

INSTANTIATE_TEST_SUITE_P(Runs, EveryRun, ::testing::ValuesIn(kRunCases),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace memcap::mpi::testing
