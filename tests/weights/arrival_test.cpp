// What arrives: in order, undamaged, or not at all.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"
#include "weights/arrival.hpp"

namespace memcap::weights::testing {
namespace {

/// Two files of 3 and 2 bytes in chunks of 2: their heads, then the rest of the first.
class Arriving : public ::testing::Test {
  protected:
    static Arrival make(double silence_s, std::function<bool()> cancelled = {}) {
        static int number = 0;
        return {{1, {{"f", 3}, {"g", 2}}, 2, {}},
                "arrival test " + std::to_string(::getpid()) + " " + std::to_string(++number),
                silence_s,
                std::move(cancelled)};
    }
    static void land(Arrival& arrival, std::size_t index, const std::string& text) {
        const auto bytes = std::as_bytes(std::span(text));
        arrival.land(index, hash64(bytes), bytes);
    }
};

TEST_F(Arriving, FillsTheFilesInThePlansOrder) {
    Arrival arrival = make(10);
    land(arrival, 0, "ab");
    land(arrival, 1, "xy");
    arrival.wait_for(arrival.files()[0].bytes.first(2));
    arrival.wait_for(arrival.files()[1].bytes);
    EXPECT_FALSE(arrival.complete());
    std::thread late([&] { land(arrival, 2, "c"); });
    arrival.wait_for(arrival.files()[0].bytes);
    late.join();
    EXPECT_TRUE(arrival.complete());
    EXPECT_EQ(std::memcmp(arrival.files()[0].bytes.data(), "abc", 3), 0);
    EXPECT_EQ(std::memcmp(arrival.files()[1].bytes.data(), "xy", 2), 0);
    while (!arrival.published()) std::this_thread::yield();
    const auto joined = join_arrival({1, arrival.identity(), arrival.headers()});
    ASSERT_NE(joined, nullptr);
    EXPECT_EQ(std::memcmp(joined->files()[0].bytes.data(), "abc", 3), 0);
    EXPECT_EQ(join_arrival({1, arrival.identity(), {{"f", 4}}}), nullptr);
}

TEST_F(Arriving, RefusesWhatIsDamagedOrOutOfTurn) {
    Arrival arrival = make(10);
    const std::string text = "ab";
    const auto bytes = std::as_bytes(std::span(text));
    EXPECT_THROW(arrival.land(0, hash64(bytes) + 1, bytes), TransportError);
    EXPECT_THROW(land(arrival, 0, "abc"), TransportError);
    EXPECT_THROW(land(arrival, 1, "xy"), TransportError);
    land(arrival, 0, "ab");
    EXPECT_THROW(land(arrival, 0, "ab"), TransportError);
    EXPECT_EQ(arrival.landed(), 1U);
}

TEST_F(Arriving, EndsTheWaitOnFailureSilenceAndCancelling) {
    Arrival failing = make(10);
    std::thread other([&] { failing.fail("rank 0 is gone"); });
    EXPECT_THROW(failing.wait_for(failing.files()[0].bytes), TransportError);
    other.join();
    Arrival silent = make(0.1);
    EXPECT_THROW(silent.wait_for(silent.files()[0].bytes), TransportError);
    Arrival cancelled = make(10, [] { return true; });
    EXPECT_THROW(cancelled.wait_for(cancelled.files()[0].bytes), TransportError);
}

TEST_F(Arriving, IsCompleteAtOnceWithoutBytes) {
    Arrival arrival({1, {{"f", 0}}, 2, {}}, "arrival test without bytes " + std::to_string(::getpid()), 10,
                    {});
    EXPECT_TRUE(arrival.complete());
    arrival.wait_for(arrival.files()[0].bytes);
}

}  // namespace
}  // namespace memcap::weights::testing
