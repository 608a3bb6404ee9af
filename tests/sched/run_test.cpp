// The list of whole runs: alone, over the serialising network, and over one where senders overtake each
// other.
#include <gtest/gtest.h>

#include "sched/network.hpp"
#include "sched/run_list.hpp"

namespace memcap::sched::testing {
namespace {

class EveryRun : public ::testing::TestWithParam<RunCase> {};

void run_over_network(const RunCase& run, Rank size, double overtake = 0.0) {
    Network network(size, overtake);
    on_all_ranks(size, [&](Rank rank) {
        const std::unique_ptr<Transport> transport = network.end(rank);
        run.body({rank, size, transport.get()});
    });
}

TEST_P(EveryRun, Alone) {
    GetParam().body({0, 1, nullptr});
}
TEST_P(EveryRun, TwoRanks) {
    run_over_network(GetParam(), 2);
}
TEST_P(EveryRun, FiveRanks) {
    run_over_network(GetParam(), 5);
}
TEST_P(EveryRun, ThreeRanksThatOvertakeEachOther) {
    run_over_network(GetParam(), 3, 0.5);
}

INSTANTIATE_TEST_SUITE_P(Runs, EveryRun, ::testing::ValuesIn(kRunCases),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace memcap::sched::testing
