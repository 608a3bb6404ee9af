// How ranks share the CPUs of a host, by hand-made affinity masks.
#include "app/machine.hpp"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>

#include <numeric>

namespace memcap::app {
namespace {

/// CPUs `first` to `last`.
CpuSet cpus(std::int32_t first, std::int32_t last) {
    CpuSet all(static_cast<std::size_t>(last - first + 1));
    std::iota(all.begin(), all.end(), first);
    return all;
}

TEST(FairThreads, ARankAloneUsesItsWholeMask) {
    EXPECT_EQ(fair_threads(cpus(0, 15), {cpus(0, 15)}), 16);
    EXPECT_EQ(fair_threads({3}, {{3}}), 1);
}

TEST(FairThreads, UnboundRanksShareTheHost) {
    EXPECT_EQ(fair_threads(cpus(0, 15), std::vector<CpuSet>(4, cpus(0, 15))), 4);
    EXPECT_EQ(fair_threads(cpus(0, 15), std::vector<CpuSet>(5, cpus(0, 15))), 3);
    EXPECT_EQ(fair_threads(cpus(0, 1), std::vector<CpuSet>(8, cpus(0, 1))), 1);
}

TEST(FairThreads, UnboundRanksInACpusetShareTheCpuset) {
    EXPECT_EQ(fair_threads(cpus(8, 15), std::vector<CpuSet>(4, cpus(8, 15))), 2);
}

TEST(FairThreads, RanksBoundToTheirOwnCoresUseThem) {
    const std::vector<CpuSet> host{cpus(0, 3), cpus(4, 7), cpus(8, 11)};
    for (const CpuSet& own : host) EXPECT_EQ(fair_threads(own, host), 4);
}

TEST(FairThreads, RanksBoundToTheSameSocketShareIt) {
    const std::vector<CpuSet> host{cpus(0, 7), cpus(0, 7), cpus(8, 15)};
    EXPECT_EQ(fair_threads(host[0], host), 4);
    EXPECT_EQ(fair_threads(host[2], host), 8);
}

TEST(FairThreads, WholeCpusComeOutOfThirds) {
    EXPECT_EQ(fair_threads(cpus(0, 2), std::vector<CpuSet>(3, cpus(0, 2))), 1);
    EXPECT_EQ(fair_threads(cpus(0, 20), std::vector<CpuSet>(3, cpus(0, 20))), 7);
}

TEST(FairThreads, CountsCpusThatOnlySomeMayUse) {
    const std::vector<CpuSet> host{cpus(0, 3), cpus(2, 3)};
    EXPECT_EQ(fair_threads(host[0], host), 3);
    EXPECT_EQ(fair_threads(host[1], host), 1);
}

TEST(FairThreads, AreNoMoreThanAQuotaLeavesEachRank) {
    EXPECT_EQ(fair_threads(cpus(0, 15), {cpus(0, 15)}, 4.0), 4);
    EXPECT_EQ(fair_threads(cpus(0, 15), {cpus(0, 15)}, 2.5), 2);
    EXPECT_EQ(fair_threads(cpus(0, 15), {cpus(0, 15)}, 0.5), 1);
    EXPECT_EQ(fair_threads(cpus(0, 15), std::vector<CpuSet>(2, cpus(0, 15)), 6.0), 3);
    EXPECT_EQ(fair_threads(cpus(0, 1), {cpus(0, 1)}, 6.0), 2);
}

TEST(SetThreads, CountsThoseThatRun) {
    EXPECT_EQ(set_threads(3), 3);
    EXPECT_EQ(at::get_num_threads(), 3);
    // As under OMP_THREAD_LIMIT or inside of another region: one runs, and one is what computations are told.
    int running = 0;
#pragma omp parallel num_threads(2)
    {
#pragma omp single
        {
            const int levels = omp_get_max_active_levels();
            omp_set_max_active_levels(1);
            running = set_threads(2);
            omp_set_max_active_levels(levels);
        }
    }
    EXPECT_EQ(running, 1);
    set_threads(1);
}

TEST(UsableCpus, AreThoseOfTheAffinityMask) {
    cpu_set_t was;
    ASSERT_EQ(sched_getaffinity(0, sizeof(was), &was), 0);
    const CpuSet all = usable_cpus();
    EXPECT_EQ(all.size(), static_cast<std::size_t>(CPU_COUNT(&was)));
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(all.back()), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(usable_cpus(), CpuSet{all.back()});
    ASSERT_EQ(sched_setaffinity(0, sizeof(was), &was), 0);
}

TEST(UsableCpus, AreTheSameAfterTheWayToAnotherRank) {
    for (const CpuSet& set : {CpuSet{0}, CpuSet{2, 3, 11}, cpus(0, 1500)})
        EXPECT_EQ(cpus_of_text(to_text(set)), set);
}

}  // namespace
}  // namespace memcap::app
