// Free memory by files as the kernel writes them.
#include "app/host_memory.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "support/system_files.hpp"

namespace memcap::app {
namespace {

class HostMemory : public ::testing::Test, protected test::SystemFiles {
  protected:
    void host_has(std::int64_t kibibytes) const {
        write("proc/meminfo", "MemTotal:       32000000 kB\nMemFree:         1000000 kB\nMemAvailable:   " +
                                  std::to_string(kibibytes) + " kB\nBuffers:          12 kB\n");
    }
};

TEST_F(HostMemory, IsWhatTheHostHasAvailable) {
    host_has(20'000'000);
    EXPECT_EQ(free_host_bytes(root()), 20'480'000'000);
    write("proc/self/cgroup", "0::/user.slice\n");
    write("sys/fs/cgroup/user.slice/memory.max", "max\n");
    write("sys/fs/cgroup/user.slice/memory.current", "5000\n");
    EXPECT_EQ(free_host_bytes(root()), 20'480'000'000);
}

TEST_F(HostMemory, IsNoMoreThanAGroupOfVersion2Leaves) {
    host_has(20'000'000);
    write("proc/self/cgroup", "0::/slurm/job_7/step_0\n");
    const std::string job = "sys/fs/cgroup/slurm/job_7/";
    write(job + "memory.max", "8000000000\n");
    write(job + "memory.current", "3000000000\n");
    write(job + "memory.stat", "anon 1000000000\nfile 2000000000\ninactive_file 1500000000\n");
    EXPECT_EQ(free_host_bytes(root()), 6'500'000'000);
    // A stricter one inside of it.
    write(job + "step_0/memory.max", "1000000000\n");
    write(job + "step_0/memory.current", "1200000000\n");
    write(job + "step_0/memory.stat", "inactive_file 0\n");
    EXPECT_EQ(free_host_bytes(root()), 0);
}

TEST_F(HostMemory, IsNoMoreThanAGroupOfVersion1Leaves) {
    host_has(20'000'000);
    write("proc/self/cgroup", "12:cpu,cpuacct:/slurm\n4:memory:/slurm/uid_1/job_7\n0::/\n");
    const std::string job = "sys/fs/cgroup/memory/slurm/uid_1/job_7/";
    write(job + "memory.limit_in_bytes", "4000000000\n");
    write(job + "memory.usage_in_bytes", "1000000000\n");
    write(job + "memory.stat", "inactive_file 1\ntotal_inactive_file 500000000\n");
    // Without a limit of its own version 1 shows the largest number of pages.
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "9000000000\n");
    EXPECT_EQ(free_host_bytes(root()), 3'500'000'000);
}

TEST_F(HostMemory, OfAContainerIsFoundAtTheTopOfWhatItSees) {
    host_has(20'000'000);
    write("proc/self/cgroup", "0::/docker/0123\n");
    write("sys/fs/cgroup/memory.max", "2000000000\n");
    write("sys/fs/cgroup/memory.current", "500000000\n");
    EXPECT_EQ(free_host_bytes(root()), 1'500'000'000);
}

TEST_F(HostMemory, IsUnlimitedWhereTheSystemDoesNotTell) {
    EXPECT_EQ(free_host_bytes(root()), std::numeric_limits<std::int64_t>::max());
}

TEST_F(HostMemory, OfThisMachineIsKnown) {
    EXPECT_GT(free_host_bytes(), 1 << 20);
    EXPECT_LT(free_host_bytes(), std::int64_t{1} << 50);
}

}  // namespace
}  // namespace memcap::app
