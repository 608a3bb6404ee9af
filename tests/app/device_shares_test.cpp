// Shares of devices, by hand-made words of ranks.
#include "app/device_shares.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace memcap::app {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

sched::WorkerFacts on(const std::string& device) {
    return {.host = "n1", .device = "GPU", .speed = 1.0, .device_id = device};
}

TEST(DeviceShares, OfCpusAreAllRanksOfTheHostAtOnce) {
    DeviceShares shares({"n1", "n1", "n2"});
    EXPECT_EQ(shares.sharers(1, on(""), 0.0), 2);
    EXPECT_EQ(shares.sharers(2, on(""), 0.0), 1);
}

TEST(DeviceShares, OfRanksThatSeeOneGpuEachAreWholeGpus) {
    // --gpus-per-task=1: each of them calls its own GPU number 0.
    DeviceShares shares(std::vector<std::string>(8, "n1"));
    for (int rank = 0; rank < 7; ++rank)
        EXPECT_EQ(shares.sharers(rank, on("GPU-" + std::to_string(rank)), 0.0), std::nullopt);
    for (int rank = 7; rank >= 0; --rank)
        EXPECT_EQ(shares.sharers(rank, on("GPU-" + std::to_string(rank)), 1.0), 1);
    EXPECT_THAT(shares.take_warnings(), IsEmpty());
}

TEST(DeviceShares, OfRanksOnOneGpuAreEvenAndSaidOnce) {
    DeviceShares shares({"n1", "n1", "n1", "n2"});
    EXPECT_EQ(shares.sharers(0, on("GPU-a"), 0.0), std::nullopt);
    EXPECT_EQ(shares.sharers(1, on("GPU-b"), 0.0), std::nullopt);
    EXPECT_EQ(shares.sharers(2, on("GPU-a"), 0.0), 2);
    EXPECT_EQ(shares.sharers(0, on("GPU-a"), 0.0), 2);
    EXPECT_EQ(shares.sharers(1, on("GPU-b"), 0.0), 1);
    EXPECT_EQ(shares.sharers(3, on("GPU-c"), 0.0), 1) << "another host's ranks are nobody to wait for";
    EXPECT_THAT(shares.take_warnings(),
                ElementsAre(AllOf(HasSubstr("3 ranks of n1 compute on 2 GPUs (GPU-a, GPU-b)"),
                                  HasSubstr("--ntasks-per-node"))));
    EXPECT_THAT(shares.take_warnings(), IsEmpty());
}

TEST(DeviceShares, DoNotWaitForRanksWithoutAGpu) {
    DeviceShares shares({"n1", "n1"});
    EXPECT_EQ(shares.sharers(0, on("GPU-a"), 0.0), std::nullopt);
    shares.sharers(1, on(""), 0.0);
    EXPECT_EQ(shares.sharers(0, on("GPU-a"), 0.0), 1);
}

TEST(DeviceShares, DoNotWaitForRanksThatNeverSpeak) {
    DeviceShares shares({"n1", "n1"});
    EXPECT_EQ(shares.sharers(0, on("GPU-a"), 5.0), std::nullopt);
    EXPECT_EQ(shares.sharers(0, on("GPU-a"), 5.0 + DeviceShares::kPatience_s), 1);
}

TEST(DeviceShares, KnowAProcessThatStartsAgain) {
    DeviceShares shares({"n1", "n1"});
    EXPECT_EQ(shares.sharers(0, on("GPU-a"), 0.0), std::nullopt);
    EXPECT_EQ(shares.sharers(1, on("GPU-b"), 0.0), 1);
    EXPECT_EQ(shares.sharers(1, on("GPU-b"), 100.0), 1);
    EXPECT_EQ(shares.sharers(1, on("GPU-a"), 200.0), 2) << "its new process was given another one";
}

}  // namespace
}  // namespace memcap::app
