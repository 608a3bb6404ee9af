// The list of exchange checks over ranks that are threads: over a transport, and by the double of NCCL.
#include <gtest/gtest.h>

#include <tuple>

#include "weights/thread_ranks.hpp"

namespace memcap::weights::testing {
namespace {

class EveryExchange : public ::testing::TestWithParam<std::tuple<int, ExchangeCheck>> {
  protected:
    int size() const { return std::get<0>(GetParam()); }
    const ExchangeCheck& check() const { return std::get<1>(GetParam()); }
};

TEST_P(EveryExchange, BetweenThreads) {
    std::vector<ThreadRank> ranks(static_cast<std::size_t>(size()));
    run_on_threads(check(), ranks);
}

TEST_P(EveryExchange, Nccl) {
    std::vector<ThreadRank> ranks;
    for (int rank = 0; rank < size(); ++rank) ranks.push_back({.device = "GPU-" + std::to_string(rank)});
    run_on_threads(check(), ranks);
    for (auto& rank : ranks) {
        // Every communicator that was started has been ended in exactly one way.
        EXPECT_EQ(rank.log->count("start"), rank.log->count("destroy") + rank.log->count("abort"));
    }
}

INSTANTIATE_TEST_SUITE_P(Checks, EveryExchange,
                         ::testing::Combine(::testing::Values(2, 4), ::testing::ValuesIn(kExchangeChecks)),
                         [](const auto& test) {
                             return std::string(std::get<1>(test.param).name) + "On" +
                                    std::to_string(std::get<0>(test.param));
                         });

}  // namespace
}  // namespace memcap::weights::testing
