// Which measurement an estimate rests on, and what it makes of it.
#include "memcap/plan/speed.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace memcap::plan {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

/// A Llama of 1 GFLOP a step at 100 GFLOP/s, half of the peak.
EngineSpeed engine(const std::string& name, double flops_per_step = 1e9,
                   Precision precision = Precision::float32) {
    EngineSpeed engine;
    engine.name = name;
    engine.family = "llama";
    engine.precision = precision;
    engine.length = 128;
    engine.memory_vectors = 1;
    engine.slots = 8;
    engine.flops_per_step = flops_per_step;
    engine.elapsed_s = 2.0;
    engine.trial_steps = 200e9 / flops_per_step;
    engine.peak = {precision, 2048, 5, 0, 200e9, 160e9};
    engine.measured_utc = "2026-01-01T00:00:00Z";
    return engine;
}

DeviceSpeed device(std::vector<EngineSpeed> engines) {
    DeviceSpeed device;
    device.device = "CPU, 2 threads";
    device.peaks = {{Precision::float32, 2048, 5, 0, 200e9, 160e9},
                    {Precision::bfloat16, 2048, 5, 0, 400e9, 320e9}};
    device.engines = std::move(engines);
    return device;
}

SpeedQuestion question(double flops_per_step, Precision precision = Precision::float32) {
    return {.family = "llama", .scans = false, .precision = precision, .flops_per_step = flops_per_step};
}

std::string nearest(const DeviceSpeed& device, const SpeedQuestion& question) {
    const auto estimate = estimate_speed({&device, 1}, question);
    return estimate ? estimate->basis.name : "none";
}

TEST(EngineSpeed, FollowsFromCountsAndTime) {
    const EngineSpeed measured = engine("a", 4e9);
    EXPECT_DOUBLE_EQ(measured.trial_steps_per_s(), 25.0);
    EXPECT_DOUBLE_EQ(measured.flops_per_s(), 100e9);
    EXPECT_DOUBLE_EQ(measured.fraction_of_peak(), 0.5);
    EXPECT_DOUBLE_EQ(measured.fraction_of_median(), 0.625);
}

TEST(SpeedEstimate, RestsOnTheMeasurementOfMostSimilarSize) {
    const DeviceSpeed measured = device({engine("small", 1e9), engine("large", 64e9)});
    EXPECT_EQ(nearest(measured, question(5e9)), "small");
    EXPECT_EQ(nearest(measured, question(12e9)), "large");
    EXPECT_DOUBLE_EQ(estimate_speed({&measured, 1}, question(2e9))->seconds_per_flop, 1e-11);
    EXPECT_DOUBLE_EQ(estimate_speed({&measured, 1}, question(2e9))->distance, 1.0);
}

TEST(SpeedEstimate, PrefersTheFamilyAndTheKindOfModel) {
    EngineSpeed scan = engine("scan");
    scan.family = "mamba";
    scan.scans = true;
    EngineSpeed other = engine("other");
    other.family = "gpt_neox";
    const DeviceSpeed measured = device({scan, other, engine("own", 1.5e9)});
    EXPECT_EQ(nearest(measured, question(1e9)), "own");
    EXPECT_EQ(nearest(device({scan, other}), question(1e9)), "other");
    SpeedQuestion mamba = question(16e9);
    mamba.family = "mamba";
    mamba.scans = true;
    EXPECT_EQ(nearest(measured, mamba), "scan");
}

TEST(SpeedEstimate, TakesItsShareOfThePeakToAnotherPrecision) {
    DeviceSpeed measured = device({engine("a")});
    const auto estimate = estimate_speed({&measured, 1}, question(1e9, Precision::bfloat16));
    ASSERT_TRUE(estimate);
    EXPECT_DOUBLE_EQ(estimate->seconds_per_flop, 1.0 / 200e9);
    EXPECT_GT(estimate->distance, kNear);
    measured.engines.push_back(engine("own", 2e9, Precision::bfloat16));
    EXPECT_EQ(nearest(measured, question(1e9, Precision::bfloat16)), "own");
}

TEST(SpeedEstimate, ComparesSlotsThatAreChosenAlike) {
    EngineSpeed alone = engine("alone");
    alone.slots = 1;
    alone.slots_given = true;
    alone.measured_utc = "2026-02-01T00:00:00Z";
    const DeviceSpeed measured = device({engine("full"), alone});
    EXPECT_EQ(nearest(measured, question(1e9)), "full");
    SpeedQuestion wished = question(64e9);
    wished.slots = 1;
    EXPECT_EQ(nearest(measured, wished), "alone");
    // As many as were found fastest: the very same measurement.
    wished.slots = 8;
    EXPECT_EQ(nearest(measured, wished), "full");
    wished.slots = 2;
    EXPECT_EQ(nearest(measured, wished), "none");
    EXPECT_EQ(nearest(device({alone}), question(1e9)), "none");
    const DeviceSpeed only_alone = device({alone});
    EXPECT_TRUE(any_has_slots({&only_alone, 1}, 1));
    EXPECT_FALSE(any_has_slots({&only_alone, 1}, 0));
    EXPECT_FALSE(any_has_slots({}, 0));
}

TEST(SpeedEstimate, IsNoneWhereNothingWasMeasured) {
    EXPECT_FALSE(estimate_speed({}, question(1e9)));
    const DeviceSpeed measured = device({engine("a")});
    EXPECT_EQ(nearest(measured, question(1e9, Precision::tf32)), "none");
    EXPECT_EQ(nearest(device({}), question(1e9)), "none");
}

TEST(SpeedEstimate, TakesTheLatestOfEqualsFromAllHosts) {
    EngineSpeed newer = engine("newer");
    newer.measured_utc = "2026-02-01T00:00:00Z";
    for (const auto& devices : {std::vector{device({engine("older")}), device({newer})},
                                std::vector{device({newer}), device({engine("older")})}}) {
        EXPECT_EQ(estimate_speed(devices, question(1e9))->basis.name, "newer");
    }
}

TEST(ValueWidths, AreThoseOfTheProductsThatWereMeasured) {
    DeviceSpeed cpu = device({});
    EXPECT_EQ(value_widths(cpu).bfloat16_bytes, 4) << "not known of a CPU";
    cpu.peaks[1].value_bytes = 2;
    EXPECT_EQ(value_widths(cpu).bfloat16_bytes, 2);
    EXPECT_EQ(value_widths(cpu).float16_bytes, 4);
    DeviceSpeed gpu = device({});
    gpu.kind = Processor::cuda;
    EXPECT_EQ(value_widths(gpu).bfloat16_bytes, 2);
    EXPECT_EQ(value_widths(gpu).float16_bytes, 2);
}

TEST(SpeedMerge, ReplacesWhatWasMeasuredAgainAndKeepsTheRest) {
    EngineSpeed again = engine("a");
    again.measured_utc = "2026-02-01T00:00:00Z";
    EngineSpeed longer = engine("a");
    longer.length = 512;
    DeviceSpeed all = device({engine("a"), engine("b"), longer});
    DeviceSpeed newer = device({again});
    newer.best_copy_bytes_per_s = 3e10;
    newer.peaks = {{Precision::float32, 2048, 9, 0, 210e9, 200e9}};
    merge(all, newer);
    std::vector<std::string> dates;
    for (const auto& engine : all.engines) {
        if (engine.name == "a" && engine.length == 128) dates.push_back(engine.measured_utc);
    }
    EXPECT_THAT(dates, ElementsAre("2026-02-01T00:00:00Z"));
    EXPECT_EQ(all.engines.size(), 3U);
    EXPECT_EQ(all.best_copy_bytes_per_s, 3e10);
    std::vector<double> peaks;
    for (const auto& peak : all.peaks) peaks.push_back(peak.best_flops_per_s);
    EXPECT_THAT(peaks, UnorderedElementsAre(210e9, 400e9));
}

TEST(SpeedMerge, KeepsAGivenNumberOfSlotsBesideTheAutomaticOne) {
    EngineSpeed given = engine("a");
    given.slots_given = true;
    EngineSpeed automatic = engine("a");
    automatic.slots = 16;
    DeviceSpeed all = device({engine("a")});
    merge(all, device({given}));
    EXPECT_EQ(all.engines.size(), 2U);
    // What is chosen may differ from one measurement to the next.
    merge(all, device({automatic}));
    std::vector<std::int32_t> slots;
    for (const auto& engine : all.engines) slots.push_back(engine.slots);
    EXPECT_THAT(slots, UnorderedElementsAre(8, 16));
}

}  // namespace
}  // namespace memcap::plan
