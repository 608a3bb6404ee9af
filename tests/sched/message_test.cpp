// The byte form of messages: versions, damage, cuts.
#include "memcap/sched/message.hpp"

#include <gtest/gtest.h>

#include <random>

#include "memcap/base/errors.hpp"
#include "sched/transport_list.hpp"

namespace memcap::sched::testing {
namespace {

template <class Kind>
Kind copy_of() {
    for (const Message& message : one_of_each()) {
        if (std::holds_alternative<Kind>(message)) return std::get<Kind>(decode_message(encode(message)));
    }
    throw std::logic_error("one_of_each lacks a kind");
}

TEST(MessageCodec, KeepsEveryFieldOfEveryKind) {
    std::set<std::size_t> kinds;
    for (const Message& message : one_of_each()) {
        kinds.insert(message.index());
        const Message copy = decode_message(encode(message));
        EXPECT_EQ(copy.index(), message.index());
        EXPECT_EQ(encode(copy), encode(message));
    }
    EXPECT_EQ(kinds.size(), std::variant_size_v<Message>);
    const auto lease = copy_of<message::Lease>();
    ASSERT_EQ(lease.tasks.size(), 2u);
    EXPECT_EQ(lease.id.value, 4u);
    EXPECT_EQ(lease.tasks[1].attempt, 3u);
    EXPECT_EQ(lease.tasks[1].task.key, (Id128{3, 4}));
    EXPECT_EQ(lease.tasks[1].task.cost, 6.5);
    EXPECT_EQ(lease.tasks[1].task.strikes, 2u);
    EXPECT_EQ(text_of(lease.tasks[1].task.payload), std::string("pay\0load", 8));
    const auto status = copy_of<message::Status>();
    EXPECT_EQ(status.lease_seen, LeaseId{11});
    EXPECT_EQ(status.free_slots, 4u);
    EXPECT_EQ(status.wanted, 5u);
    EXPECT_EQ(status.started.size(), 2u);
    const auto welcome = copy_of<message::Welcome>();
    EXPECT_EQ(welcome.options.limit, 99u);
    EXPECT_EQ(welcome.options.heartbeat_s, 0.5);
}

TEST(MessageCodec, RefusesOtherVersionsAndUnknownKinds) {
    Bytes bytes = encode(message::Pulse{});
    bytes[0] = std::byte{kMessageVersion + 1};
    EXPECT_THROW(decode_message(bytes), TransportError);
    bytes = encode(message::Pulse{});
    bytes[2] = std::byte{std::variant_size_v<Message>};
    EXPECT_THROW(decode_message(bytes), TransportError);
}

TEST(MessageCodec, RefusesEveryCutAndEveryAddition) {
    for (const Message& message : one_of_each()) {
        Bytes bytes = encode(message);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            EXPECT_THROW(decode_message(std::span(bytes).first(size)), TransportError);
        }
        bytes.push_back(std::byte{0});
        EXPECT_THROW(decode_message(bytes), TransportError);
    }
}

TEST(MessageCodec, SurvivesRandomDamage) {
    std::mt19937 random(1);
    const std::vector<Message> all = one_of_each();
    for (int round = 0; round < 20000; ++round) {
        Bytes bytes = encode(all[random() % all.size()]);
        for (int flips = 0; flips < 3; ++flips)
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        try {
            decode_message(bytes);
        } catch (const TransportError&) {
            // Refusing is as good as reading something: only a crash or another exception is a defect.
        }
    }
}

}  // namespace
}  // namespace memcap::sched::testing
