// The list of transport checks over the transports that need no MPI.
#include <gtest/gtest.h>

#include "memcap/sched/local_transport.hpp"
#include "sched/network.hpp"
#include "sched/transport_list.hpp"

namespace memcap::sched::testing {
namespace {

class EveryTransport : public ::testing::TestWithParam<TransportCheck> {};

TEST_P(EveryTransport, Local) {
    const auto [manager, worker] = make_local_transport();
    on_all_ranks(2, [&, &manager_end = *manager, &worker_end = *worker](Rank rank) {
        TransportEnd end{rank == 0 ? manager_end : worker_end, rank == 0, 0, {0}};
        GetParam().body(end);
    });
}

TEST_P(EveryTransport, Serialising) {
    Network network(4);
    on_all_ranks(4, [&](Rank rank) {
        const std::unique_ptr<Transport> transport = network.end(rank);
        TransportEnd end{*transport, rank == 0, rank, {1, 2, 3}};
        GetParam().body(end);
    });
}

INSTANTIATE_TEST_SUITE_P(Checks, EveryTransport, ::testing::ValuesIn(kTransportChecks),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace memcap::sched::testing
