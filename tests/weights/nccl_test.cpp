// The order of NCCL's calls, its errors, time-outs and aborts, on the double.
#include <gtest/gtest.h>

#include "weights/thread_ranks.hpp"

namespace memcap::weights::testing {
namespace {

constexpr std::size_t kChunks = 10;
const std::vector<std::size_t> kSizes{(kChunks - 1) * 65536 + 5};

/// The first rank sends; the others get the bytes, or their own.
template <bool kArrives>
void check_transfer(ExchangeEnd& end) {
    const double start_s = monotonic_s();
    expect_bytes(end, "model", kSizes, kArrives ? 0 : end.rank);
    EXPECT_LT(monotonic_s() - start_s, 15.0);
}

std::vector<ThreadRank> ranks_with_devices(int size) {
    std::vector<ThreadRank> ranks;
    for (int rank = 0; rank < size; ++rank) ranks.push_back({.device = "GPU-" + std::to_string(rank)});
    return ranks;
}

void transfer(std::vector<ThreadRank>& ranks, bool arrives) {
    const ExchangeCheck check{"Transfer", arrives ? check_transfer<true> : check_transfer<false>,
                              exchange_options(20, 1)};
    run_on_threads(check, ranks);
}

void expect_all_aborted(const std::vector<ThreadRank>& ranks) {
    for (const auto& rank : ranks) {
        EXPECT_EQ(rank.log->count("abort"), 1U);
        EXPECT_EQ(rank.log->count("destroy"), 0U);
    }
}

TEST(Nccl, StartsBroadcastsFinalizesAndDestroys) {
    auto ranks = ranks_with_devices(3);
    transfer(ranks, true);
    std::vector<std::string> expected{"start"};
    expected.insert(expected.end(), kChunks, "broadcast");
    expected.insert(expected.end(), {"finalize", "destroy"});
    for (const auto& rank : ranks) EXPECT_EQ(rank.log->calls(), expected);
}

TEST(Nccl, IsLeftAloneWhereTwoRanksHaveOneDevice) {
    auto ranks = ranks_with_devices(3);
    ranks[2].device = ranks[1].device;
    transfer(ranks, true);
    for (const auto& rank : ranks) EXPECT_TRUE(rank.log->calls().empty());
}

TEST(Nccl, IsLeftAloneWhereARankHasNoDevice) {
    auto ranks = ranks_with_devices(3);
    ranks[1].device.clear();
    transfer(ranks, true);
    for (const auto& rank : ranks) EXPECT_TRUE(rank.log->calls().empty());
}

TEST(Nccl, AbortsWhereARankCannotStart) {
    auto ranks = ranks_with_devices(3);
    ranks[1].faults->start_fails = true;
    transfer(ranks, false);
    expect_all_aborted(ranks);
    for (const auto& rank : ranks) EXPECT_EQ(rank.log->count("broadcast"), 0U);
}

TEST(Nccl, AbortsWhereARankNeverJoins) {
    auto ranks = ranks_with_devices(3);
    ranks[2].faults->start_never_ends = true;
    transfer(ranks, false);
    expect_all_aborted(ranks);
}

TEST(Nccl, AbortsOnAnErrorBehindTheScenes) {
    auto ranks = ranks_with_devices(3);
    for (auto& rank : ranks) rank.faults->breaks_at_broadcast = 3;
    transfer(ranks, false);
    expect_all_aborted(ranks);
}

TEST(Nccl, AbortsWhereTheReaderStalls) {
    auto ranks = ranks_with_devices(3);
    ranks[0].faults->stalls_at_broadcast = 6;
    transfer(ranks, false);
    expect_all_aborted(ranks);
}

TEST(Nccl, OneStalledReceiverHoldsNobodyLong) {
    auto ranks = ranks_with_devices(2);
    ranks[1].faults->stalls_at_broadcast = 2;
    transfer(ranks, false);
    EXPECT_EQ(ranks[1].log->count("abort"), 1U);
}

TEST(Nccl, BytesThatHaveArrivedCountWhenTheEndHangs) {
    auto ranks = ranks_with_devices(2);
    ranks[1].faults->finalize_never_ends = true;
    transfer(ranks, true);
    EXPECT_EQ(ranks[1].log->count("abort"), 1U);
}

}  // namespace
}  // namespace memcap::weights::testing
