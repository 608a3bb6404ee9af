// Derived columns against numbers worked out by hand.
#include "memcap/metrics/derived_columns.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace memcap::metrics {
namespace {

TEST(DerivedColumns, FollowTheFormulasOfTheResultFormat) {
    record::TrialRecord record;
    record.scored_tokens = 15;
    record.loss_nomem_nats = 4.0;
    record.loss_nats = 0.5;
    record.loss_min_nats = 0.25;
    record.accuracy = 0.75;
    record.accuracy_nomem = 0.25;
    const DerivedColumns columns = derived_columns(record, 16);
    EXPECT_DOUBLE_EQ(columns.ce_nomem_nats, 60.0);          // 4 * 15
    EXPECT_DOUBLE_EQ(columns.ce_nats, 7.5);                 // .5 * 15
    EXPECT_DOUBLE_EQ(columns.information_gain_nats, 60.0);  // 3.75 * 16
    EXPECT_DOUBLE_EQ(columns.token_gain, 8.0);              // .5 * 16
}

TEST(DerivedColumns, TheTextWithoutMemoryHasOneTokenLessThanTargetAllScores) {
    record::TrialRecord record;
    record.scored_tokens = 16;
    record.loss_nomem_nats = 4.0;
    record.loss_nats = 0.5;
    const DerivedColumns columns = derived_columns(record, 16);
    EXPECT_DOUBLE_EQ(columns.ce_nomem_nats, 60.0);
    EXPECT_DOUBLE_EQ(columns.ce_nats, 8.0);
}

TEST(DerivedColumns, AreNaNWhereTheTrialFailed) {
    const DerivedColumns columns = derived_columns(record::TrialRecord(), 16);
    EXPECT_TRUE(std::isnan(columns.ce_nomem_nats));
    EXPECT_TRUE(std::isnan(columns.ce_nats));
    EXPECT_TRUE(std::isnan(columns.information_gain_nats));
    EXPECT_TRUE(std::isnan(columns.token_gain));
}

}  // namespace
}  // namespace memcap::metrics
