// Durations as users write them, and the end of a job as Slurm and users tell it.
#include "app/job_end.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "memcap/base/errors.hpp"

namespace memcap::app {
namespace {

TEST(Durations, HaveUnits) {
    EXPECT_EQ(duration_s("45s"), 45.0);
    EXPECT_EQ(duration_s("90m"), 5400.0);
    EXPECT_EQ(duration_s("4h"), 14400.0);
    EXPECT_EQ(duration_s("1d12h"), 129600.0);
}

TEST(Durations, OfNoUnitOrNothingAreRefused) {
    for (const char* text : {"", "90", "h", "4h30", "-4h", "4 h", "0s", "4w", "1.5h", "99999999999h"})
        EXPECT_THROW(duration_s(text), UsageError) << text;
}

class JobEnd : public ::testing::Test {
  protected:
    void SetUp() override { unsetenv("SLURM_JOB_END_TIME"); }
    void TearDown() override { unsetenv("SLURM_JOB_END_TIME"); }
};

TEST_F(JobEnd, IsUnknownWhereNobodyTells) {
    EXPECT_FALSE(job_end_utc_s(1000.0, std::nullopt));
}

TEST_F(JobEnd, IsSlurmsOrTheUsersWhicheverComesFirst) {
    EXPECT_EQ(job_end_utc_s(1000.0, 60.0), 1060.0);
    setenv("SLURM_JOB_END_TIME", "1040", 1);
    EXPECT_EQ(job_end_utc_s(1000.0, std::nullopt), 1040.0);
    EXPECT_EQ(job_end_utc_s(1000.0, 60.0), 1040.0);
    EXPECT_EQ(job_end_utc_s(1000.0, 30.0), 1030.0);
}

TEST_F(JobEnd, InThePastIsThatOfAnotherJob) {
    setenv("SLURM_JOB_END_TIME", "1000", 1);
    EXPECT_FALSE(job_end_utc_s(1000.0, std::nullopt));
    EXPECT_EQ(job_end_utc_s(1000.0, 60.0), 1060.0);
}

TEST_F(JobEnd, OfAnUnreadableVariableIsUnknown) {
    for (const char* text : {"", "NONE", "0", "12:00"}) {
        setenv("SLURM_JOB_END_TIME", text, 1);
        EXPECT_FALSE(job_end_utc_s(1000.0, std::nullopt)) << text;
    }
}

TEST_F(JobEnd, LeavesALargeRunMoreTimeToWindUp) {
    EXPECT_LT(wind_up_s(1000), 30.0);
    EXPECT_GT(wind_up_s(1'000'000), 40.0);
}

}  // namespace
}  // namespace memcap::app
