// CPU quotas by files as the kernel writes them.
#include "app/control_groups.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "support/system_files.hpp"

namespace memcap::app {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

class CpuQuota : public ::testing::Test, protected test::SystemFiles {};

TEST_F(CpuQuota, IsNoneWhereTheSystemDoesNotTell) {
    EXPECT_EQ(cpu_quota(root()), kNone);
    write("proc/self/cgroup", "0::/user.slice\n");
    EXPECT_EQ(cpu_quota(root()), kNone);
    write("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
    EXPECT_EQ(cpu_quota(root()), kNone);
}

TEST_F(CpuQuota, IsTheLeastOfTheGroupsOfVersion2) {
    write("proc/self/cgroup", "0::/pod/box\n");
    write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
    EXPECT_EQ(cpu_quota(root()), 1.5);
    write("sys/fs/cgroup/pod/box/cpu.max", "25000 50000\n");
    EXPECT_EQ(cpu_quota(root()), 0.5);
}

TEST_F(CpuQuota, OfAContainerIsFoundAtTheTopOfWhatItSees) {
    write("proc/self/cgroup", "0::/docker/0123\n");
    write("sys/fs/cgroup/cpu.max", "400000 100000\n");
    EXPECT_EQ(cpu_quota(root()), 4.0);
}

TEST_F(CpuQuota, IsThatOfVersion1WithMinusOneForNone) {
    write("proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n");
    write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(cpu_quota(root()), kNone);
    write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "300000\n");
    write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(cpu_quota(root()), 3.0);
}

}  // namespace
}  // namespace memcap::app
