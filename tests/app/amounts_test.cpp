// Amounts and durations as people read them.
#include "app/amounts.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "app/live_line.hpp"

namespace memcap::app {
namespace {

TEST(Amounts, HaveThreeDigitsAndAPrefix) {
    EXPECT_EQ(scaled(0.0, "FLOP"), "0 FLOP");
    EXPECT_EQ(scaled(1.234e9, "FLOP"), "1.23 GFLOP");
    EXPECT_EQ(scaled(2.23e16, "FLOP"), "22.3 PFLOP");
    EXPECT_EQ(scaled(9.996e17, "FLOP"), "1 EFLOP");
    EXPECT_EQ(scaled(4.56e19, "FLOP"), "45.6 EFLOP");
    EXPECT_EQ(scaled(7.8e22, "FLOP"), "78 ZFLOP");
}

TEST(Amounts, HaveTheirDigitsInGroups) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(1000), "1,000");
    EXPECT_EQ(grouped(1'234'567), "1,234,567");
    EXPECT_EQ(grouped(-123), "-123");
    EXPECT_EQ(grouped(-123'456), "-123,456");
    EXPECT_EQ(grouped(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Amounts, AreOfOneOrOfMany) {
    EXPECT_EQ(count_text(1, "trial"), "1 trial");
    EXPECT_EQ(count_text(0, "trial"), "0 trials");
    EXPECT_EQ(count_text(12'345, "row"), "12,345 rows");
}

TEST(Durations, AreInDaysFromTwoDaysOn) {
    EXPECT_EQ(duration_text(12.4), "12s");
    EXPECT_EQ(duration_text(184.0), "3m 04s");
    EXPECT_EQ(duration_text(47.5 * 3600), "47h 30m");
    EXPECT_EQ(duration_text(48.0 * 3600), "2d 00h");
    EXPECT_EQ(duration_text((1234 * 24 + 5) * 3600.0), "1,234d 05h");
    EXPECT_EQ(duration_text(1e300), duration_text(1e15));
    EXPECT_EQ(duration_text(std::nan("")), "unknown");
}

}  // namespace
}  // namespace memcap::app
