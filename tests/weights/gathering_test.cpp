// Groups, chunks and messages without ranks.
#include <gtest/gtest.h>

#include <random>

#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"
#include "weights/chunk_plan.hpp"
#include "weights/gathering.hpp"

namespace memcap::weights::testing {
namespace {

exchange::Want want(const std::string& key, const std::string& node, const std::string& device = {}) {
    return {key, node, device};
}

TEST(Gathering, ClosesWhenAllAreThere) {
    Gathering gathering(3, 10.0);
    EXPECT_TRUE(gathering.want(2, want("m", "c"), 0.0).empty());
    EXPECT_TRUE(gathering.want(0, want("m", "a"), 1.0).empty());
    EXPECT_TRUE(gathering.want(0, want("m", "a"), 1.5).empty()) << "a rank counts once";
    const auto answers = gathering.want(1, want("m", "b"), 2.0);
    ASSERT_EQ(answers.size(), 3U);
    for (sched::Rank rank = 0; rank < 3; ++rank) {
        const auto& [to, message] = answers[static_cast<std::size_t>(rank)];
        const auto& formed = std::get<exchange::Formed>(message);
        EXPECT_EQ(to, rank);
        EXPECT_EQ(formed.key, "m");
        ASSERT_EQ(formed.members.size(), 3U);
        EXPECT_EQ(formed.members[2].node, "c");
    }
    EXPECT_TRUE(gathering.due(100.0).empty());
}

TEST(Gathering, ClosesAtItsDeadlineWithWhoIsThere) {
    Gathering gathering(3, 10.0);
    gathering.want(1, want("m", "b"), 0.0);
    gathering.want(0, want("m", "a"), 5.0);
    gathering.want(2, want("other", "c"), 6.0);
    EXPECT_TRUE(gathering.due(9.9).empty());
    const auto answers = gathering.due(10.0);
    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(std::get<exchange::Formed>(answers[0].second).members.size(), 2U);
    // The other key has a deadline of its own; with one member there is no group.
    EXPECT_TRUE(gathering.due(15.9).empty());
    const auto alone = gathering.due(16.0);
    ASSERT_EQ(alone.size(), 1U);
    EXPECT_TRUE(std::holds_alternative<exchange::Alone>(alone[0].second));
    // Who comes late is told so at once.
    const auto late = gathering.want(2, want("m", "c"), 11.0);
    ASSERT_EQ(late.size(), 1U);
    EXPECT_EQ(late[0].first, 2);
    EXPECT_TRUE(std::holds_alternative<exchange::Alone>(late[0].second));
}

exchange::Formed formed(const std::vector<Member>& members) {
    return {"m", 1, members};
}

TEST(GroupPlace, IsAChainOfTheFirstRankOfEachNode) {
    const auto group = formed({{1, "a", ""}, {2, "b", ""}, {3, "a", ""}, {5, "c", ""}, {6, "b", ""}});
    const GroupPlace leader = place_in(group, 1);
    EXPECT_EQ(leader.role, GroupPlace::Role::leader);
    EXPECT_EQ(leader.chain, (std::vector<sched::Rank>{1, 2, 5}));
    EXPECT_EQ(leader.previous(), -1);
    EXPECT_EQ(leader.next(), 2);
    const GroupPlace relay = place_in(group, 2);
    EXPECT_EQ(relay.role, GroupPlace::Role::receiver);
    EXPECT_EQ(relay.previous(), 1);
    EXPECT_EQ(relay.next(), 5);
    EXPECT_EQ(relay.neighbours, std::vector<sched::Rank>{6});
    EXPECT_EQ(place_in(group, 3).role, GroupPlace::Role::beside_leader);
    EXPECT_EQ(place_in(group, 5).next(), -1);
    const GroupPlace beside = place_in(group, 6);
    EXPECT_EQ(beside.role, GroupPlace::Role::beside_receiver);
    EXPECT_EQ(beside.chain[beside.position], 2);
}

TEST(GroupPlace, UsesDevicesOnlyWhereAllInTheChainHaveDifferentOnes) {
    EXPECT_TRUE(place_in(formed({{0, "a", "x"}, {1, "a", ""}, {2, "b", "y"}}), 2).by_device);
    EXPECT_FALSE(place_in(formed({{0, "a", "x"}, {2, "b", "x"}}), 2).by_device);
    EXPECT_FALSE(place_in(formed({{0, "a", "x"}, {2, "b", ""}}), 2).by_device);
}

/// All chunks cover each byte once, heads come first, and needed() agrees with a search through the chunks.
TEST(ChunkPlan, CoversEachByteOnceAndSaysWhatIsNeeded) {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        std::vector<FileHeader> files(random() % 4 + 1);
        for (auto& file : files) file.size_bytes = random() % 50;
        const std::size_t chunk_bytes = random() % 9 + 1;
        const ChunkPlan plan(files, chunk_bytes);
        std::vector<std::vector<std::size_t>> chunk_of(files.size());
        std::size_t heads = 0;
        for (std::size_t i = 0; i < files.size(); ++i) {
            chunk_of[i].assign(files[i].size_bytes, SIZE_MAX);
            heads += files[i].size_bytes > 0 ? 1 : 0;
        }
        for (std::size_t i = 0; i < plan.size(); ++i) {
            const auto& part = plan.part(i);
            EXPECT_EQ(part.offset == 0, i < heads);
            for (std::size_t at = part.offset; at < part.offset + part.size_bytes; ++at) {
                EXPECT_EQ(chunk_of[part.file][at], SIZE_MAX);
                chunk_of[part.file][at] = i;
            }
        }
        for (std::size_t file = 0; file < files.size(); ++file) {
            for (std::size_t begin = 0; begin < files[file].size_bytes; ++begin) {
                std::size_t needed = 0;
                for (std::size_t end = begin + 1; end <= files[file].size_bytes; ++end) {
                    needed = std::max(needed, chunk_of[file][end - 1] + 1);
                    ASSERT_EQ(plan.needed(file, begin, end), needed);
                }
                EXPECT_EQ(plan.needed(file, begin, begin), 0U);
            }
        }
    }
}

TEST(ChunkPlan, RefusesSizesThatMakeNoSense) {
    EXPECT_THROW(ChunkPlan({{"f", UINT64_MAX}}, 1), TransportError);
    EXPECT_THROW(ChunkPlan({{"f", 1}}, 0), TransportError);
}

std::vector<ExchangeMessage> one_of_each() {
    return {exchange::Want{"key", "node", "GPU-1"},
            exchange::Alone{"key", "why"},
            exchange::Formed{"key", 7, {{1, "a", "x"}, {2, "b", ""}}},
            exchange::Announce{8, {{"f", 1234567890123ULL}, {"g", 0}}, 65536, std::string("id\0id", 5)},
            exchange::Progress{9},
            exchange::Arrived{10, "memory", {{"f", 3}}},
            exchange::Abort{11, "reason"},
            exchange::Joined{12}};
}

TEST(ExchangeMessage, ComesBackAsItWas) {
    for (const auto& message : one_of_each()) {
        const Bytes bytes = encode(message);
        const ExchangeMessage copy = decode_exchange(bytes);
        EXPECT_EQ(copy.index(), message.index());
        EXPECT_EQ(encode(copy), bytes);
    }
    const auto announce = std::get<exchange::Announce>(decode_exchange(encode(one_of_each()[3])));
    EXPECT_EQ(announce.files.at(0).size_bytes, 1234567890123ULL);
    EXPECT_EQ(announce.nccl_id, std::string("id\0id", 5));
}

TEST(ExchangeMessage, IsRefusedWhenCut) {
    for (const auto& message : one_of_each()) {
        const Bytes bytes = encode(message);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            EXPECT_THROW(decode_exchange(std::span(bytes).first(size)), TransportError) << message.index();
        }
    }
    EXPECT_THROW(decode_exchange(Bytes(8, std::byte{99})), TransportError);
}

TEST(ExchangeMessage, AChunkCarriesItsChecksum) {
    Bytes chunk = make_chunk(5, 6, 3);
    ASSERT_EQ(chunk.size(), chunk_bytes(3));
    payload_of(chunk)[0] = std::byte{42};
    seal_chunk(chunk);
    const auto message = std::get<exchange::Chunk>(decode_exchange(chunk));
    EXPECT_EQ(message.group, 5U);
    EXPECT_EQ(message.index, 6U);
    ASSERT_EQ(message.payload.size(), 3U);
    EXPECT_EQ(message.payload[0], std::byte{42});
    EXPECT_EQ(message.checksum, hash64(message.payload));
}

}  // namespace
}  // namespace memcap::weights::testing
