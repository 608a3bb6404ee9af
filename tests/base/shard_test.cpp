// Shards: their text form, and that they share out trials.
#include "memcap/base/shard.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "memcap/base/hash.hpp"

namespace memcap {
namespace {

TEST(Shard, TextIsReadBack) {
    const Shard shard{.index = 2, .count = 3};
    EXPECT_EQ(shard.text(), "2/3");
    EXPECT_EQ(parse_shard("2/3"), shard);
    EXPECT_EQ(parse_shard("0/1"), Shard{});
}

TEST(Shard, OtherTextsAreNoShards) {
    for (const char* text : {"", "1", "/", "1/", "/3", "3/3", "4/3", "0/0", "-1/3", "1/-3", " 1/3", "1/3 ",
                             "1/3/4", "a/3", "1/4294967296"})
        EXPECT_FALSE(parse_shard(text)) << text;
}

TEST(Shard, EveryTrialFallsOnOneShardAndShardsAreAlike) {
    constexpr std::uint32_t kShards = 7;
    constexpr int kTrials = 70'000;
    std::vector<int> held(kShards);
    for (int trial = 0; trial < kTrials; ++trial) {
        const Id128 id = hash128(std::as_bytes(std::span(&trial, 1)));
        int holders = 0;
        for (std::uint32_t index = 0; index < kShards; ++index) {
            const bool holds = Shard{.index = index, .count = kShards}.holds(id);
            holders += holds ? 1 : 0;
            held[index] += holds ? 1 : 0;
        }
        ASSERT_EQ(holders, 1);
    }
    // 10,000 each, with a standard deviation of 100.
    for (const int count : held) EXPECT_NEAR(count, kTrials / kShards, 500);
}

}  // namespace
}  // namespace memcap
