// What a slot takes while the engine runs, against the families' count and the plan's estimate.
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "memcap/models/registry.hpp"
#include "memcap/plan/cost.hpp"
#include "memory/mixed_trials.hpp"
#include "support/golden_case.hpp"
#include "support/held_bytes.hpp"

namespace memcap::memory {
namespace {

constexpr std::int32_t kLength = 24;

plan::Trial endless_trial(std::uint64_t index) {
    plan::Trial trial;
    trial.id = {6, index};
    trial.memory_vectors = 1;
    trial.text.assign(kLength, static_cast<std::int32_t>(index % 7));
    trial.protocol.max_steps = std::numeric_limits<std::int32_t>::max();
    trial.protocol.patience = std::numeric_limits<std::int32_t>::max();
    trial.protocol.stop_accuracy = 2.0;
    return trial;
}

/// The most that an engine with so many trials holds at once, from its making on.
std::int64_t peak_bytes(const models::CausalLM& model, std::int32_t slots) {
    const auto counter = std::make_shared<test::HeldBytes>();
    const c10::DebugInfoGuard counting(c10::DebugInfoKind::PROFILER_STATE, counter);
    SlotsEngine engine(model, test::options(slots));
    for (std::int32_t i = 0; i < slots; ++i) engine.enter(endless_trial(static_cast<std::uint64_t>(i)));
    for (int i = 0; i < 2; ++i) engine.step();
    return counter->peak();
}

plan::ModelFacts facts_of(const models::Description& about) {
    plan::ModelFacts facts;
    facts.layers = about.layers;
    facts.width = about.width;
    facts.memory_width = about.memory_width;
    facts.kept_floats = about.kept_floats;
    return facts;
}

TEST(SlotBytes, SlopeOfThePeakLiesBetweenWhatRowsKeepAndWhatThePlanAllows) {
    constexpr std::int32_t kSlots = 144;  // whose memory alone is as many rows as a product takes as they are
    int models = 0;
    for (const auto& entry : std::filesystem::directory_iterator(test::source_folder() / "tests/golden")) {
        const auto folder = entry.path() / "model";
        if (!std::filesystem::exists(folder / "config.json")) continue;
        SCOPED_TRACE(folder.string());
        const auto model = models::load(folder, Precision::float32, at::kCPU);
        const auto trial = endless_trial(0);
        peak_bytes(*model, 1);  // tables that grow on demand
        const double slope =
            static_cast<double>(peak_bytes(*model, 2 * kSlots) - peak_bytes(*model, kSlots)) / kSlots;
        EXPECT_GE(slope, 4.0 * static_cast<double>(model->description().kept_floats) * trial.positions());
        EXPECT_LE(slope, static_cast<double>(
                             plan::slot_bytes(facts_of(model->description()), plan::shape_of(trial))));
        ++models;
    }
    EXPECT_GE(models, 36);
}

}  // namespace
}  // namespace memcap::memory
