// The list of transport checks over the socket between an agent and its compute process.
#include "agent/wire.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "memcap/base/errors.hpp"
#include "sched/network.hpp"
#include "sched/transport_list.hpp"

namespace memcap::agent::testing {
namespace {

using namespace sched::testing;

/// The agent's side of a channel as a transport, as the compute process has one.
class WireEnd final : public sched::Transport {
  public:
    explicit WireEnd(int descriptor) : wire_(descriptor) {}
    void send(sched::Rank to, Bytes bytes) override { wire_.send(Channel::scheduler, to, std::move(bytes)); }
    std::optional<sched::Parcel> poll() override {
        wire_.step();
        return wire_.take(Channel::scheduler);
    }
    std::size_t unsent(sched::Rank to) override { return wire_.unsent(Channel::scheduler, to); }
    bool flush(double timeout_s) override {
        const double until_s = monotonic_s() + timeout_s;
        for (wire_.step(); wire_.unsent() > 0 && monotonic_s() < until_s; wire_.step()) wire_.wait(0.01);
        return wire_.unsent() == 0;
    }
    sched::Rank rank() const override { return 0; }
    sched::Rank size() const override { return 1; }
    Wire& wire() { return wire_; }

  private:
    Wire wire_;
};

std::array<int, 2> sockets() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    return ends;
}

class EveryTransport : public ::testing::TestWithParam<TransportCheck> {};

TEST_P(EveryTransport, Wire) {
    const auto ends = sockets();
    on_all_ranks(2, [&](sched::Rank rank) {
        WireEnd wire(ends[static_cast<std::size_t>(rank)]);
        TransportEnd end{wire, rank == 0, 0, {0}};
        GetParam().body(end);
    });
}

INSTANTIATE_TEST_SUITE_P(Checks, EveryTransport, ::testing::ValuesIn(kTransportChecks),
                         [](const auto& test) { return test.param.name; });

TEST(Wire, KeepsItsChannelsApart) {
    const auto ends = sockets();
    Wire one(ends[0]);
    Wire other(ends[1]);
    one.send(Channel::exchange, 7, bytes_of("for seven"));
    one.send(Channel::scheduler, 0, bytes_of("for the manager"));
    other.step();
    const auto first = other.take(Channel::scheduler);
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(text_of(first->bytes), "for the manager");
    const auto second = other.take(Channel::exchange);
    ASSERT_TRUE(second.has_value());
    EXPECT_EQ(second->from, 7);
    EXPECT_EQ(text_of(second->bytes), "for seven");
    EXPECT_FALSE(other.take(Channel::trouble).has_value());
}

TEST(Wire, GivesWhatAnEndSaidBeforeItWasGone) {
    const auto ends = sockets();
    Wire other(ends[1]);
    {
        Wire one(ends[0]);
        one.send(Channel::scheduler, 0, bytes_of("last words"));
    }
    while (!other.closed()) other.step();
    const auto last = other.take(Channel::scheduler);
    ASSERT_TRUE(last.has_value());
    EXPECT_EQ(text_of(last->bytes), "last words");
    other.send(Channel::scheduler, 0, bytes_of("nobody hears"));
    EXPECT_FALSE(other.step());
}

TEST(Wire, LeavesInTheSenderWhatNobodyTakes) {
    const auto ends = sockets();
    Wire one(ends[0]);
    Wire other(ends[1]);
    const Bytes parcel(std::size_t{1} << 20U);
    for (int count = 0; count < 200; ++count) one.send(Channel::exchange, 0, parcel);
    for (int count = 0; count < 2000; ++count) {
        one.step();
        other.step();
    }
    EXPECT_GT(one.unsent(), 100u) << "the receiver's memory holds what is sent";
    std::size_t taken = 0;
    for (const double until_s = monotonic_s() + 20.0; taken < 200 && monotonic_s() < until_s;) {
        one.step();
        other.step();
        while (other.take(Channel::exchange)) ++taken;
    }
    EXPECT_EQ(taken, 200u);
}

TEST(Wire, RefusesAFrameOfNoKnownChannel) {
    const auto ends = sockets();
    Wire other(ends[1]);
    std::array<std::byte, 16> header{};
    header[8] = std::byte{99};
    ASSERT_EQ(::send(ends[0], header.data(), header.size(), 0), 16);
    EXPECT_THROW(other.step(), TransportError);
    ::close(ends[0]);
}

}  // namespace
}  // namespace memcap::agent::testing
