// Buckets of one shape on the device, their step recorded: the same trials as in plain steps, alone.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "gpu/test_device.hpp"
#include "memcap/base/random.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/nn/step_graph.hpp"
#include "memory/detail/bucket.hpp"
#include "memory/mixed_trials.hpp"
#include "memory/small_device.hpp"
#include "support/golden_case.hpp"

namespace memcap::memory {
namespace {

using test::GoldenCase;
using test::kernel_device;
using test::options;

std::unique_ptr<models::CausalLM> load(const std::string& name) {
    return models::load(GoldenCase(name).model_folder(), Precision::float32, kernel_device());
}

/// Trials of two bucket shapes, with pads in both, that end after 3 to 7 evaluations.
plan::Trial trial_of(const models::CausalLM& model, std::uint64_t index) {
    RandomStream stream({11, index});
    plan::Trial trial;
    trial.id = {2, index};
    trial.seed = index;
    trial.memory_vectors = 2;
    trial.text.resize(index % 3 == 0 ? 20 : 22 + index % 2);
    for (auto& token : trial.text) {
        token = static_cast<std::int32_t>(
            stream.below(static_cast<std::uint64_t>(model.description().vocabulary_size)));
    }
    trial.protocol.warmup_steps = 0;
    trial.protocol.max_steps = 3 + static_cast<std::int32_t>(index % 5);
    trial.protocol.stop_accuracy = 2.0;
    return trial;
}

/// Products of other shapes round differently.
void expect_close(const record::TrialRecord& found, const record::TrialRecord& expected) {
    EXPECT_EQ(found.status, expected.status) << found.failure.message;
    EXPECT_EQ(found.evaluations, expected.evaluations);
    EXPECT_EQ(found.best_evaluation, expected.best_evaluation);
    EXPECT_EQ(found.correct_tokens, expected.correct_tokens);
    ASSERT_EQ(found.curve.loss_nats.size(), expected.curve.loss_nats.size());
    for (std::size_t i = 0; i < expected.curve.loss_nats.size(); ++i)
        EXPECT_NEAR(found.curve.loss_nats[i], expected.curve.loss_nats[i], 1e-4) << "evaluation " << i + 1;
    ASSERT_EQ(found.vector.size(), expected.vector.size());
    for (std::size_t i = 0; i < expected.vector.size(); ++i)
        ASSERT_NEAR(found.vector[i], expected.vector[i], 1e-3) << "element " << i;
}

class DeviceBuckets : public test::OnDevice {};

TEST_F(DeviceBuckets, TrialsOfRecordedStepsAreThoseOfPlainStepsAlone) {
    for (const char* name : {"llama-plain", "mamba"}) {
        const auto model = load(name);
        std::vector<plan::Trial> trials;
        for (std::uint64_t i = 0; i < (test::is_double() ? 5 : 24); ++i)
            trials.push_back(trial_of(*model, i));
        const std::vector<int> at_once(trials.size(), 0);
        const auto records = test::together(trials, options(3, RowLayout::fixed), at_once, *model);
        for (const auto& trial : trials) {
            SCOPED_TRACE(std::string(name) + ", trial " + trial.id.hex());
            expect_close(records.at(trial.id), test::alone(*model, trial));
        }
    }
}

TEST_F(DeviceBuckets, AShortageOfMemoryInARecordingChangesNoTrial) {
    const auto model = load("llama-plain");
    const test::SmallDevice small(*model, 60);
    std::vector<plan::Trial> trials;
    for (std::uint64_t i = 1; i < 3; ++i) trials.push_back(trial_of(*model, i));
    const auto records = test::together(trials, options(4, RowLayout::fixed), {0, 0}, small);
    for (const auto& trial : trials) expect_close(records.at(trial.id), test::alone(*model, trial));
}

TEST_F(DeviceBuckets, ALongerBucketLeavesTheRecordingOfAShorterOneRight) {
    // Its rotary tables are made anew while the first recording goes on reading the former ones.
    const auto model = load("llama-plain");
    auto first = trial_of(*model, 1);
    first.protocol.max_steps = 8;
    auto second = trial_of(*model, 2);
    second.text.resize(60, 5);
    SlotsEngine engine(*model, options(2, RowLayout::fixed));
    engine.enter(first);
    engine.step();
    engine.enter(second);
    std::map<Id128, record::TrialRecord> records;
    while (records.size() < 2) {
        for (auto& record : engine.step()) records.emplace(record.trial_id, std::move(record));
    }
    expect_close(records.at(first.id), test::alone(*model, first));
}

TEST_F(DeviceBuckets, NothingInAnEvaluationWaitsForTheDevice) {
    if (test::is_double()) GTEST_SKIP() << "the host's double of CUDA has nothing to wait for";
    for (const char* name : {"llama-plain", "gpt-neox-parallel", "gemma2", "opt-350m", "mamba", "mamba2"}) {
        const auto model = load(name);
        const auto trial = trial_of(*model, 1);
        const Objective objective = objective_of(trial);
        const auto memory = initial_memory(trial, model->description().memory_width, model->embedding_std());
        const std::vector<float> zeros(memory.size(), 0.0F);
        const detail::SlotVectors vectors{memory, zeros, zeros, {}, {}};
        detail::Bucket bucket(*model, {.positions = 24, .slots = 3, .memory_vectors = 2}, 16);
        bucket.enter({.objective = &objective,
                      .protocol = &trial.protocol,
                      .vectors = &vectors,
                      .progress = {.phase = detail::SlotPhase::running}});
        bucket.evaluate();  // lays out and records
        EXPECT_EQ(nn::host_synchronisations(kernel_device(), [&] { bucket.evaluate(); }), 0) << name;
        bucket.look();
        EXPECT_EQ(bucket.progress(0).evaluations, 2) << name;
    }
}

}  // namespace
}  // namespace memcap::memory
