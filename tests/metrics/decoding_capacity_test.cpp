// Decoding capacity: grids, drawn lengths, the limit itself, failures.
#include "memcap/metrics/decoding_capacity.hpp"

#include <gtest/gtest.h>

#include "metrics/cell.hpp"

namespace memcap::metrics {
namespace {

using testing::Cell;

DecodingCapacity paper(const Cell& cell) {
    return decoding_capacity(cell.outcomes(), LengthKind::grid, CapacityRule::mean_accuracy);
}

TEST(DecodingCapacity, IsTheLargestLengthWhoseMeanReachesTheLimit) {
    Cell cell;
    cell.add(101, 100);
    cell.add(101, 98);  // mean .99
    cell.add(201, 200);
    cell.add(201, 190);  // mean .975
    EXPECT_EQ(paper(cell).tokens, 101);
    EXPECT_FALSE(paper(cell).cut);
}

TEST(DecodingCapacity, AMeanThatMissesTheLimitByItsLastBitStillReachesIt) {
    Cell cell;
    for (int trial = 0; trial < 50; ++trial) cell.add(101, trial % 2 == 0 ? 100 : 98);
    EXPECT_EQ(paper(cell).tokens, 101);
    cell.add(101, 98);
    EXPECT_EQ(paper(cell).tokens, 0);
}

TEST(DecodingCapacity, AGapBelowDoesNotMatter) {
    Cell cell;
    cell.add(8, 7);
    cell.add(16, 3);
    cell.add(32, 31);
    cell.add(64, 10);
    EXPECT_EQ(paper(cell).tokens, 32);
}

TEST(DecodingCapacity, IsCutWhereTheLargestLengthPasses) {
    Cell cell;
    cell.add(8, 7);
    cell.add(16, 15);
    EXPECT_EQ(paper(cell).tokens, 16);
    EXPECT_TRUE(paper(cell).cut);
}

TEST(DecodingCapacity, OfNothingIsZeroAndNotCut) {
    Cell cell;
    EXPECT_EQ(paper(cell).tokens, 0);
    EXPECT_FALSE(paper(cell).cut);
    cell.add(8, 1);
    EXPECT_EQ(paper(cell).tokens, 0);
    EXPECT_FALSE(paper(cell).cut);
}

TEST(DecodingCapacity, ExactAsksEveryTrialForEveryToken) {
    Cell cell;
    cell.add(8, 7);
    cell.add(201, 200);
    cell.add(201, 199);  // mean .9975, one token wrong
    EXPECT_EQ(paper(cell).tokens, 201);
    EXPECT_EQ(decoding_capacity(cell.outcomes(), LengthKind::grid, CapacityRule::all_exact).tokens, 8);
}

TEST(DecodingCapacity, OfDrawnLengthsIsTheLongestSingleTrial) {
    Cell cell;
    cell.add(37, 36);
    cell.add(101, 99);
    cell.add(101, 10);
    cell.add(150, 20);
    EXPECT_EQ(decoding_capacity(cell.outcomes(), LengthKind::drawn, CapacityRule::mean_accuracy).tokens, 101);
    EXPECT_EQ(decoding_capacity(cell.outcomes(), LengthKind::drawn, CapacityRule::all_exact).tokens, 37);
    EXPECT_EQ(paper(cell).tokens, 37);
}

TEST(DecodingCapacity, LeavesFailedTrialsOut) {
    Cell cell;
    cell.add(8, 7);
    cell.add_failed(8);
    cell.add_failed(16);
    EXPECT_EQ(paper(cell).tokens, 8);
    EXPECT_TRUE(paper(cell).cut);
}

}  // namespace
}  // namespace memcap::metrics
