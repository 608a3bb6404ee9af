// The table at the end of a run: what is known, and what is not.
#include "app/capacity_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace memcap::app {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

metrics::StatisticsRow some_row() {
    metrics::StatisticsRow row;
    row.model = "ink-64";
    row.corpus = "essays";
    row.memory_vectors = 4;
    row.protocol = "hot";
    row.trials = 12;
    row.capacity_tokens = 16;
    row.capacity_exact_tokens = 8;
    row.token_gain_mean = 5.5;
    row.token_gain_std = 0.5;
    row.information_gain_nats_mean = 16.25;
    row.information_gain_nats_std = 4.25;
    row.utilisation = 0.125;
    return row;
}

/// The last line of the table, its words joined by single spaces.
std::string last_line(std::span<const metrics::StatisticsRow> rows) {
    std::string text = capacity_table(rows);
    text.pop_back();
    std::istringstream words(text.substr(text.rfind('\n') + 1));
    std::string line;
    for (std::string word; words >> word;) line += (line.empty() ? "" : " ") + word;
    return line;
}

TEST(CapacityTable, ShowsAFinishedCell) {
    const std::vector rows{some_row()};
    EXPECT_EQ(last_line(rows), "ink-64 essays 4 hot 12 16 8 5.5 +- 0.5 16.2 +- 4.2 0.125");
    EXPECT_THAT(capacity_table(rows), Not(HasSubstr("open")));
}

TEST(CapacityTable, HasNoCapacityWhereTrialsAreOpen) {
    auto row = some_row();
    row.open = 3;
    row.capacity_tokens = row.capacity_exact_tokens = -1;
    EXPECT_EQ(last_line(std::vector{row}), "ink-64 essays 4 hot 12 3 - - 5.5 +- 0.5 16.2 +- 4.2 0.125");
}

TEST(CapacityTable, HasNoNumbersWhereAllTrialsFailed) {
    auto row = some_row();
    row.failed = row.trials;
    row.capacity_tokens = row.capacity_exact_tokens = 0;
    row.token_gain_mean = row.information_gain_nats_mean = row.utilisation =
        std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(last_line(std::vector{row}), "ink-64 essays 4 hot 12 12 - - - - -");
}

TEST(CapacityTable, MarksAValueOfOneTrial) {
    auto row = some_row();
    row.information_gain_nats_std = std::numeric_limits<double>::quiet_NaN();
    EXPECT_THAT(last_line(std::vector{row}), HasSubstr("16.2 (n = 1) 0.125"));
}

TEST(CapacityTable, OfNothingIsItsHead) {
    EXPECT_THAT(capacity_table({}), HasSubstr("model"));
}

}  // namespace
}  // namespace memcap::app
