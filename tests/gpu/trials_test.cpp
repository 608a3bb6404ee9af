// Whole trials on the device: golden cases, a recorded step, memory over many trials.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gpu/comparison.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/nn/head_loss.hpp"
#include "memcap/nn/step_graph.hpp"
#include "support/golden_case.hpp"

namespace memcap::memory {
namespace {

using test::GoldenCase;
using test::json;
using test::kernel_device;

constexpr double kLossTolerance = 1e-4;

/// Buckets of one shape, as a GPU has them.
SlotsOptions fixed_slots(std::int32_t slots, std::int32_t curve_every) {
    return {.slots = slots,
            .position_budget = 0,
            .keep_vectors = false,
            .curve_every = curve_every,
            .layout = RowLayout::fixed};
}

class DeviceTrials : public test::OnDevice, public ::testing::WithParamInterface<std::string> {};

SlotState start_of(const GoldenCase& golden, const std::string& run) {
    SlotState start;
    start.memory = golden.floats(run + "/mem0");
    start.first_moment.assign(start.memory.size(), 0.0F);
    start.second_moment.assign(start.memory.size(), 0.0F);
    return start;
}

TEST_P(DeviceTrials, LossesAreThoseOfTheGoldenFiles) {
    const GoldenCase golden(GetParam());
    const auto model = models::load(golden.model_folder(), Precision::float32, kernel_device());
    const std::int64_t steps = test::is_double() ? 3 : 50;
    for (const json& run : golden.facts()["runs"]) {
        const auto name = run["name"].get<std::string>();
        const auto trial = golden.trial(run);
        SlotsEngine engine(*model, fixed_slots(1, 1));
        engine.enter(trial, start_of(golden, name));
        record::Curve curve;
        bool ended = false;
        for (std::int64_t i = 0; i < steps && !ended; ++i) {
            for (auto& record : engine.step()) {
                curve = std::move(record.curve);
                ended = true;
            }
        }
        if (!ended) curve = engine.export_state(trial.id).curve;
        const at::Tensor losses = golden.expected(name + "/losses");
        ASSERT_EQ(curve.loss_nats.size(), static_cast<std::size_t>(steps)) << name;
        for (std::int64_t i = 0; i < steps; ++i) {
            EXPECT_NEAR(curve.loss_nats[static_cast<std::size_t>(i)], losses[i].item<float>(), kLossTolerance)
                << name << " evaluation " << i + 1;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, DeviceTrials, ::testing::ValuesIn(test::golden_case_names()),
                         test::test_name);

class DeviceSteps : public test::OnDevice {};

/// Loss and input gradient of a model over static tensors.
struct Step {
    explicit Step(const models::CausalLM& of)
        : model(of), input(at::randn({36, of.description().memory_width}).to(kernel_device())) {
        target = at::randint(of.description().vocabulary_size, {36}, at::kLong).to(kernel_device());
        weight = at::full({36}, 1.0 / 12).to(kernel_device());
        loss = at::zeros({36}).to(kernel_device());
        gradient = at::zeros_like(input);
    }

    void run() {
        at::Tensor leaf = input.detach();
        at::Tensor hidden;
        {
            const at::AutoGradMode with_gradients(true);
            leaf.requires_grad_(true);
            hidden = model.hidden(leaf, segments);
        }
        const at::NoGradGuard no_gradients;
        const auto head = nn::head_loss(model.head(), hidden.detach(), target, nn::RowLoss{weight});
        loss.copy_(head.nll_nats);
        gradient.copy_(torch::autograd::grad({hidden}, {leaf}, {head.gradient})[0]);
        // The next step starts from another input.
        input.sub_(gradient, 0.1);
    }

    const models::CausalLM& model;
    nn::Segments segments = nn::Segments::uniform(3, 12, kernel_device());
    at::Tensor input;
    at::Tensor target;
    at::Tensor weight;
    at::Tensor loss;
    at::Tensor gradient;
};

TEST_F(DeviceSteps, ARecordedStepIsTheStep) {
    for (const char* name : {"llama-plain", "gpt-neox-parallel", "mamba"}) {
        const auto model = models::load(GoldenCase(name).model_folder(), Precision::float32, kernel_device());
        at::manual_seed(2);
        Step plain(*model);
        Step recorded(*model);
        recorded.target.copy_(plain.target);
        nn::StepGraph graph(kernel_device());
        EXPECT_TRUE(graph.on_device());
        graph.capture([&] { recorded.run(); });
        recorded.input.copy_(plain.input);
        for (int i = 0; i < 5; ++i) {
            plain.run();
            graph.replay();
            EXPECT_LT(test::device_error(recorded.loss, plain.loss), 1e-6) << name << " step " << i;
            EXPECT_LT(test::device_error(recorded.gradient, plain.gradient), 1e-5) << name << " step " << i;
        }
    }
}

TEST_F(DeviceSteps, NothingInAStepWaitsForTheDevice) {
    for (const char* name : {"llama-plain", "gpt-neox-parallel", "gemma2", "opt-350m", "mamba", "mamba2"}) {
        const auto model = models::load(GoldenCase(name).model_folder(), Precision::float32, kernel_device());
        Step step(*model);
        step.run();  // tables and plans are made by the first step
        EXPECT_EQ(nn::host_synchronisations(kernel_device(), [&] { step.run(); }), 0) << name;
    }
    if (test::is_double()) return;
    // That the count counts.
    const at::Tensor value = at::ones({1}).to(kernel_device());
    EXPECT_GE(nn::host_synchronisations(kernel_device(), [&] { value.item<float>(); }), 1);
}

TEST_F(DeviceSteps, MemoryStaysFlatOverThousandsOfTrialsThatEnterAndLeave) {
    if (test::is_double()) GTEST_SKIP() << "the host's double of CUDA has no allocator to ask";
    const GoldenCase golden("llama-plain");
    const auto model = models::load(golden.model_folder(), Precision::float32, kernel_device());
    auto trial = golden.trial(golden.facts()["runs"][0]);
    trial.protocol.max_steps = 2;
    trial.protocol.warmup_steps = 0;
    SlotsEngine engine(*model, fixed_slots(8, 0));
    const auto serve = [&](std::uint64_t count) {
        std::uint64_t ended = 0;
        while (ended < count) {
            while (engine.has_room(trial)) {
                trial.id.low += 1;
                engine.enter(trial);
            }
            ended += engine.step().size();
        }
    };
    serve(200);
    const std::int64_t before = test::device_bytes();
    serve(4000);
    EXPECT_LE(test::device_bytes(), before + (1 << 20));
}

TEST_F(DeviceSteps, BfloatStaysWithinTheErrorOfItsProducts) {
    if (test::is_double()) GTEST_SKIP() << "a CPU multiplies bfloat16 in a mode of its own";
    for (const std::string name : {"llama-plain", "gpt-neox-parallel", "mamba"}) {
        const auto exact = models::load(GoldenCase(name).model_folder(), Precision::float32, kernel_device());
        const auto rounded =
            models::load(GoldenCase(name).model_folder(), Precision::bfloat16, kernel_device());
        at::manual_seed(4);
        Step a(*exact);
        Step b(*rounded);
        b.input.copy_(a.input);
        b.target.copy_(a.target);
        a.run();
        b.run();
        EXPECT_LT(test::device_error(b.loss, a.loss), 0.05) << name;
        const double off = ((b.gradient - a.gradient).norm() / a.gradient.norm()).to(at::kCPU).item<double>();
        EXPECT_LT(off, 0.1) << name;
    }
}

}  // namespace
}  // namespace memcap::memory
