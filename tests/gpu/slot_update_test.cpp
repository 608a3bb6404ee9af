// The update of slots on the device against the CPU's, over whole lives of random slots.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "gpu/comparison.hpp"
#include "memory/detail/slot_update.hpp"

namespace memcap::memory::detail {
namespace {

using test::kernel_device;

constexpr std::int32_t kSlots = 6;
constexpr std::int64_t kVectors = 3;
constexpr std::int64_t kWidth = 400;
constexpr std::int32_t kCurvePoints = 4;
constexpr std::int32_t kRows = 700;

/// All state of an update as tensors of one device.
struct State {
    at::Tensor rules = at::zeros({kSlots, sizeof(SlotRules)}, at::kByte);
    at::Tensor progress = at::zeros({kSlots, sizeof(SlotProgress)}, at::kByte);
    at::Tensor curve = at::zeros({kSlots * kCurvePoints, sizeof(CurvePoint)}, at::kByte);
    at::Tensor nll = at::zeros({kRows});
    at::Tensor correct = at::zeros({kRows}, at::kBool);
    at::Tensor gradient = at::zeros({kSlots, kVectors + 1, kWidth});
    at::Tensor memory = at::randn({kSlots, kVectors, kWidth});
    at::Tensor first_moment = at::zeros({kSlots, kVectors, kWidth});
    at::Tensor second_moment = at::zeros({kSlots, kVectors, kWidth});
    at::Tensor best_memory = at::zeros({kSlots, kVectors, kWidth});

    std::vector<at::Tensor*> all() {
        return {&rules,    &progress, &curve,        &nll,           &correct,
                &gradient, &memory,   &first_moment, &second_moment, &best_memory};
    }

    State on(at::Device device) {
        State copy;
        const auto from = all();
        const auto to = copy.all();
        for (std::size_t i = 0; i < from.size(); ++i) *to[i] = from[i]->clone().to(device);
        return copy;
    }

    SlotUpdate update() const {
        return {.slots = kSlots,
                .memory_stride = kVectors * kWidth,
                .width = kWidth,
                .rules = static_cast<const SlotRules*>(rules.data_ptr()),
                .progress = static_cast<SlotProgress*>(progress.data_ptr()),
                .curve = static_cast<CurvePoint*>(curve.data_ptr()),
                .curve_points = kCurvePoints,
                .nll_nats = nll.const_data_ptr<float>(),
                .correct = correct.const_data_ptr<bool>(),
                .gradient = gradient.const_data_ptr<float>(),
                .evaluated = memory.const_data_ptr<float>(),
                .memory = memory.mutable_data_ptr<float>(),
                .first_moment = first_moment.mutable_data_ptr<float>(),
                .second_moment = second_moment.mutable_data_ptr<float>(),
                .best_memory = best_memory.mutable_data_ptr<float>()};
    }

    SlotRules& rules_of(std::int32_t slot) { return static_cast<SlotRules*>(rules.data_ptr())[slot]; }
    SlotProgress& progress_of(std::int32_t slot) {
        return static_cast<SlotProgress*>(progress.data_ptr())[slot];
    }
    CurvePoint& point(std::int64_t index) { return static_cast<CurvePoint*>(curve.data_ptr())[index]; }
};

/// Slots of all kinds: each schedule, a row range of its own, lengths of life that differ; the last one is
/// empty.
State random_state(std::mt19937& generator) {
    State state;
    const auto below = [&](int end) { return static_cast<int>(generator() % static_cast<unsigned>(end)); };
    std::int32_t first_row = 0;
    for (std::int32_t b = 0; b < kSlots; ++b) {
        const std::int32_t rows = 1 + below(b == 1 ? 600 : 20);
        state.rules_of(b) = {.learning_rate = 0.01 * (1 + below(10)),
                             .beta1 = 0.9,
                             .beta2 = 0.9,
                             .weight_decay = 0.01 * below(3),
                             .epsilon = 1e-8,
                             .shape = static_cast<RateShape>(b % 3),
                             .warmup_steps = below(4),
                             .max_steps = 8 + below(8),
                             .patience = 2 + below(6),
                             .memory_vectors = 1 + below(kVectors),
                             .first_input = std::int64_t{b} * (kVectors + 1),
                             .first_row = first_row,
                             .rows = rows,
                             .solving_rows = rows};
        state.progress_of(b).phase = b + 1 < kSlots ? SlotPhase::running : SlotPhase::empty;
        first_row += rows;
    }
    return state;
}

void expect_same(State& found, State& expected, int step) {
    for (std::int32_t b = 0; b < kSlots; ++b) {
        const SlotProgress& a = found.progress_of(b);
        const SlotProgress& e = expected.progress_of(b);
        EXPECT_EQ(a.phase, e.phase) << "slot " << b << " step " << step;
        EXPECT_EQ(a.evaluations, e.evaluations) << "slot " << b << " step " << step;
        EXPECT_EQ(a.best_evaluation, e.best_evaluation);
        EXPECT_EQ(a.best_correct, e.best_correct);
        EXPECT_NEAR(a.best_loss_nats, e.best_loss_nats, 1e-12);
        EXPECT_NEAR(a.loss_min_nats, e.loss_min_nats, 1e-12);
    }
    for (std::int64_t i = 0; i < kSlots * kCurvePoints; ++i) {
        EXPECT_EQ(found.point(i).correct, expected.point(i).correct);
        if (std::isfinite(expected.point(i).loss_nats)) {
            EXPECT_NEAR(found.point(i).loss_nats, expected.point(i).loss_nats, 1e-12);
        } else {
            EXPECT_FALSE(std::isfinite(found.point(i).loss_nats));
        }
    }
    for (auto tensors :
         {std::pair{found.memory, expected.memory}, std::pair{found.first_moment, expected.first_moment},
          std::pair{found.second_moment, expected.second_moment},
          std::pair{found.best_memory, expected.best_memory}})
        EXPECT_LT(test::device_error(tensors.first, tensors.second), 2e-6) << "step " << step;
}

class DeviceSlotUpdate : public test::OnDevice {};

TEST_F(DeviceSlotUpdate, SlotsLiveAndEndAsOnTheCpu) {
    std::mt19937 generator(3);
    int ended = 0;
    for (int life = 0; life < (test::is_double() ? 4 : 50); ++life) {
        at::manual_seed(life);
        State state = random_state(generator);
        State device = state.on(kernel_device());
        for (int step = 0; step < 20; ++step) {
            const at::Tensor nll = at::rand({kRows}) * 3;
            if (life % 2 == 1 && step == 5) nll.narrow(0, state.rules_of(2).first_row, 1).fill_(std::nan(""));
            const at::Tensor correct = at::rand({kRows}).gt(0.2);
            const at::Tensor gradient = at::randn(state.gradient.sizes());
            for (auto* to : {&state, &device}) {
                to->nll.copy_(nll);
                to->correct.copy_(correct);
                to->gradient.copy_(gradient);
            }
            update_slots(state.update());
            test::update_on_device(device.update());
            State found = device.on(at::kCPU);
            expect_same(found, state, step);
        }
        for (std::int32_t b = 0; b < kSlots; ++b) {
            if (state.progress_of(b).phase != SlotPhase::running) ++ended;
        }
    }
    EXPECT_GT(ended, 4);
}

TEST_F(DeviceSlotUpdate, SlotsThatEndedAndEmptyOnesStayAsTheyAre) {
    std::mt19937 generator(5);
    State state = random_state(generator);
    for (std::int32_t b = 0; b < kSlots; ++b) {
        state.progress_of(b).phase = b % 2 == 0 ? SlotPhase::solved : SlotPhase::empty;
    }
    State device = state.on(kernel_device());
    device.nll.fill_(1.0);
    device.gradient.fill_(1.0);
    test::update_on_device(device.update());
    State found = device.on(at::kCPU);
    EXPECT_TRUE(at::equal(found.memory, state.memory));
    EXPECT_TRUE(at::equal(found.progress, state.progress));
    EXPECT_TRUE(at::equal(found.curve, state.curve));
}

}  // namespace
}  // namespace memcap::memory::detail
