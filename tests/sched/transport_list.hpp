// What every transport must do: one list of checks, run over the local, the serialising and the MPI
// transport.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "memcap/base/clock.hpp"
#include "memcap/sched/message.hpp"
#include "memcap/sched/transport.hpp"
#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {

/// One rank's place in a check. Every rank runs the check with its own end.
struct TransportEnd {
    Transport& transport;
    bool manager = false;
    Rank self = 0;              ///< how the manager addresses this end; meaningful for workers
    std::vector<Rank> workers;  ///< whom the manager can send to
};

struct TransportCheck {
    const char* name;
    void (*body)(TransportEnd& end);
};

inline void PrintTo(const TransportCheck& check, std::ostream* out) {
    *out << check.name;
}

inline Parcel receive(Transport& transport, double timeout_s = 20.0) {
    const double until_s = monotonic_s() + timeout_s;
    while (monotonic_s() < until_s) {
        if (std::optional<Parcel> parcel = transport.poll()) {
            if (!parcel->failure.empty()) throw std::runtime_error(parcel->failure);
            return std::move(*parcel);
        }
        sleep_s(20e-6);
    }
    throw std::runtime_error("nothing arrived in time");
}

inline Message receive_message(Transport& transport) {
    return decode_message(receive(transport).bytes);
}

/// One message of each kind, all fields different from their defaults.
inline std::vector<Message> one_of_each() {
    const std::vector<TaskLease> leases{{TaskIndex{1}, LeaseId{2}}, {TaskIndex{3}, LeaseId{4}}};
    Options options;
    options.heartbeat_s = 0.5;
    options.limit = 99;
    options.end_s = 12.5;
    const Task task{TaskIndex{8}, Id128{3, 4}, 5, 6.5, bytes_of(std::string("pay\0load", 8)), 2};
    return {
        message::Join{{"host", "cpu, 8 threads", 2.5, "GPU-1"}},
        message::Status{LeaseId{11}, 4, 5, leases},
        message::Heartbeat{{7, 8.5, 9.5}, {10.5, 11}},
        message::Result{LeaseId{3}, {TaskIndex{5}, 2, std::nullopt, bytes_of("record")}},
        message::Result{LeaseId{3}, {TaskIndex{5}, 2, TaskFailure{FailureCategory::device_lost, "gone"}, {}}},
        message::Checkpoint{leases[0], bytes_of("state")},
        message::Returned{leases},
        message::Leave{},
        message::Failed{"it threw"},
        message::Goodbye{},
        message::Note{bytes_of("note")},
        message::Crashed{"killed by SIGSEGV"},
        message::Welcome{options, bytes_of("setup")},
        message::Lease{LeaseId{4}, {{task, 2}, {task, 3}}},
        message::Acknowledge{leases},
        message::Recall{17},
        message::Rejoin{},
        message::Stop{},
        message::Finish{},
        message::Pulse{},
        message::Renew{}};
}

inline void check_echo(TransportEnd& end) {
    const std::vector<Message> all = one_of_each();
    for (const Message& message : all) {
        if (end.manager) {
            for (const Rank worker : end.workers) end.transport.send(worker, encode(message));
            for (std::size_t i = 0; i < end.workers.size(); ++i) {
                EXPECT_EQ(encode(receive_message(end.transport)), encode(message));
            }
        } else {
            end.transport.send(0, encode(receive_message(end.transport)));
        }
    }
    EXPECT_TRUE(end.transport.flush(10.0));
    EXPECT_FALSE(end.transport.poll().has_value());
}

inline void check_order(TransportEnd& end) {
    constexpr std::uint64_t kCount = 3000;
    if (!end.manager) {
        for (std::uint64_t i = 1; i <= kCount; ++i)
            end.transport.send(0, encode(message::Status{LeaseId{i}, 0, 0, {}}));
        EXPECT_TRUE(end.transport.flush(20.0));
        return;
    }
    std::map<Rank, std::uint64_t> last;
    for (std::uint64_t i = 0; i < kCount * end.workers.size(); ++i) {
        const Parcel incoming = receive(end.transport);
        const std::uint64_t sequence =
            std::get<message::Status>(decode_message(incoming.bytes)).lease_seen.value;
        ASSERT_EQ(sequence, last[incoming.from] + 1) << "from rank " << incoming.from;
        last[incoming.from] = sequence;
    }
    EXPECT_EQ(last.size(), end.workers.size());
}

/// Everybody sends a lot before anybody receives: nothing may block.
inline void check_flood(TransportEnd& end) {
    constexpr int kCount = 1500;
    const Bytes payload(3000, std::byte{42});
    const std::vector<Rank> peers = end.manager ? end.workers : std::vector<Rank>{0};
    for (int i = 0; i < kCount; ++i) {
        for (const Rank peer : peers) end.transport.send(peer, encode(message::Welcome{{}, payload}));
    }
    for (std::size_t i = 0; i < kCount * peers.size(); ++i) {
        const Message message = receive_message(end.transport);
        ASSERT_EQ(std::get<message::Welcome>(message).setup, payload);
    }
    EXPECT_TRUE(end.transport.flush(20.0));
}

/// A message of many megabytes arrives whole, and a small one behind it does not overtake it.
inline void check_large(TransportEnd& end) {
    constexpr std::size_t kSize = 48 << 20;
    const auto byte_at = [](Rank rank, std::size_t i) {
        return static_cast<std::byte>((i * 2654435761U + static_cast<std::size_t>(rank)) >> 13U);
    };
    if (!end.manager) {
        TaskResult result;
        result.payload.resize(kSize);
        for (std::size_t i = 0; i < kSize; ++i) result.payload[i] = byte_at(end.self, i);
        end.transport.send(0, encode(message::Result{LeaseId{1}, std::move(result)}));
        end.transport.send(0, encode(message::Leave{}));
        EXPECT_TRUE(end.transport.flush(30.0));
        return;
    }
    std::map<Rank, int> seen;
    for (std::size_t i = 0; i < 2 * end.workers.size(); ++i) {
        const Parcel incoming = receive(end.transport, 60.0);
        const Message message = decode_message(incoming.bytes);
        if (++seen[incoming.from] == 2) {
            EXPECT_TRUE(std::holds_alternative<message::Leave>(message));
            continue;
        }
        const auto* large = std::get_if<message::Result>(&message);
        ASSERT_NE(large, nullptr) << "the small message came first";
        ASSERT_EQ(large->result.payload.size(), kSize);
        std::size_t wrong = 0;
        for (std::size_t at = 0; at < kSize; ++at)
            wrong += large->result.payload[at] != byte_at(incoming.from, at);
        EXPECT_EQ(wrong, 0u);
    }
}

inline void check_silence(TransportEnd& end) {
    const double start_s = monotonic_s();
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(end.transport.poll().has_value());
    EXPECT_LT(monotonic_s() - start_s, 1.0);
    EXPECT_TRUE(end.transport.flush(0.0));
}

inline const TransportCheck kTransportChecks[] = {
    {"SilenceIsNoMessageAndDoesNotBlock", check_silence}, {"EveryKindArrivesAsItWasSent", check_echo},
    {"MessagesOfASenderStayInOrder", check_order},        {"FloodsFromAllSidesDoNotBlock", check_flood},
    {"LargeMessagesArriveWholeAndInOrder", check_large},
};

}  // namespace memcap::sched::testing
