// A plan of 100,000 trials: what it takes in time and memory.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "memcap/plan/codec.hpp"
#include "memcap/plan/disk.hpp"
#include "memcap/plan/expand.hpp"
#include "memcap/plan/order.hpp"
#include "memcap/plan/summary.hpp"
#include "plan/plan_fixtures.hpp"
#include "support/process_use.hpp"

namespace memcap::plan {
namespace {

using test::kMemoryIsInstrumented;
using test::peak_memory_mib;
using test::processor_s;

std::string list_of(int count) {
    std::string list = "[0";
    for (int i = 1; i < count; ++i) list += ", " + std::to_string(i);
    return list + "]";
}

/// 2 models x 3 samples x 4 K x 2 lengths x 2,084 seeds = 100,032 trials of up to 1,000 tokens.
config::Experiment large_experiment() {
    return testing_support::experiment_with(
        "  - {models: [a, b], corpora: c, memory_vectors: [1, 2, 3, 4], lengths: [900, 1000], seeds: " +
        list_of(2084) + "}\n");
}

TEST(Scale, AHundredThousandTrialsTakeLittleBesideTheirTexts) {
    const config::Experiment experiment = large_experiment();
    const auto tables = testing_support::answer(experiment, 1010);
    const std::vector<ModelFacts> models{testing_support::facts("a", 0), testing_support::facts("b", 0)};
    const double before_mib = peak_memory_mib();
    const double start_s = processor_s();
    const Plan plan = expand(experiment, tables, models);
    const Summary summary = summarise(plan, models, {});
    const auto order = lease_order(plan, models);
    const DiskUse disk = disk_use(plan, tables, models, experiment.store);
    const double elapsed_s = processor_s() - start_s;
    const double grown_mib = peak_memory_mib() - before_mib;
    std::printf("100,032 trials of up to 1,000 tokens: %.2f s of processor time, %.0f MiB\n", elapsed_s,
                grown_mib);
    EXPECT_EQ(plan.trials.size(), 100'032U);
    EXPECT_EQ(summary.trials, 100'032);
    EXPECT_EQ(order.size(), plan.trials.size());
    EXPECT_GT(disk.total_bytes(), 100'000'000);
    EXPECT_EQ(plan.whole(plan.trials.back(), tables).text.size(), 1000U);
    // Generous bounds: with its tokens in each trial it is 400 MiB, and with all payloads 800.
    if (!kMemoryIsInstrumented) {
        EXPECT_LT(grown_mib, 60.0);
    }
    EXPECT_LT(elapsed_s, 10.0);
}

}  // namespace
}  // namespace memcap::plan
