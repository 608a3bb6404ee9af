// Rounding, conflicts, and kinds of failure.
#include "memcap/record/agreement.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "store/sample_run.hpp"

namespace memcap::record {
namespace {

using store::testing::sample_record;
using store::testing::sample_tables;

TrialRecord some_record() {
    return sample_record(sample_tables().rows[5]);
}

TEST(Agreement, CircumstancesAreNoDifference) {
    TrialRecord other = some_record();
    other.elapsed_s = 99.0;
    other.host = "elsewhere";
    other.rank = 7;
    other.attempt = 3;
    other.finished_utc = "2030-01-01T00:00:00Z";
    EXPECT_EQ(compare(some_record(), other).agreement, Agreement::equal);
}

TEST(Agreement, TheLastBitOfALossIsADifferenceByRounding) {
    TrialRecord other = some_record();
    other.loss_nomem_nats = std::nextafter(other.loss_nomem_nats, 10.0);
    const Comparison comparison = compare(some_record(), other);
    EXPECT_EQ(comparison.agreement, Agreement::near);
    EXPECT_EQ(comparison.quantity, "loss_nomem_nats");
    EXPECT_GT(comparison.difference, 0.0);
    EXPECT_LT(comparison.difference, 1e-15);
}

TEST(Agreement, AnotherCourseToTheSameOutcomeIsNear) {
    TrialRecord other = some_record();
    other.evaluations += 1;
    other.best_evaluation += 1;
    EXPECT_EQ(compare(some_record(), other).agreement, Agreement::near);
}

TEST(Agreement, AnotherOutcomeIsAConflict) {
    TrialRecord other = some_record();
    other.correct_tokens -= 1;
    EXPECT_EQ(compare(some_record(), other).agreement, Agreement::conflicting);
    other = some_record();
    other.stop_reason = StopReason::patience;
    EXPECT_EQ(compare(some_record(), other).agreement, Agreement::conflicting);
    other = some_record();
    other.loss_min_nats *= 1.002;
    EXPECT_EQ(compare(some_record(), other).agreement, Agreement::conflicting);
    other.loss_min_nats = std::nan("");
    EXPECT_EQ(compare(some_record(), other).agreement, Agreement::conflicting);
}

TEST(Agreement, SmallLossesMayDifferByAsMuchAsLargerOnes) {
    TrialRecord one = some_record();
    one.loss_nats = 1e-5;
    TrialRecord other = one;
    other.loss_nats = 1.5e-5;
    EXPECT_EQ(compare(one, other).agreement, Agreement::near);
    other.loss_nats = 3e-5;
    EXPECT_EQ(compare(one, other).agreement, Agreement::conflicting);
}

TEST(FailureKind, LeavesOutNumbers) {
    const Failure failure{.category = FailureCategory::retryable, .message = "out of memory: 12.5 GB on n07"};
    EXPECT_EQ(failure_text(failure), "retryable: out of memory: 12.5 GB on n07");
    EXPECT_EQ(failure_kind(failure), "retryable: out of memory: #.# GB on n#");
}

}  // namespace
}  // namespace memcap::record
