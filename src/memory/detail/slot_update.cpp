// The update on a CPU.
#include "memory/detail/slot_update.hpp"

#include <cstring>

#include "memory/detail/slot_step.hpp"

namespace memcap::memory::detail {

namespace {

CurvePoint evaluation_of(const SlotUpdate& update, const SlotRules& rules) {
    CurvePoint point;
    for (std::int32_t row = rules.first_row; row < rules.first_row + rules.rows; ++row) {
        point.loss_nats += update.nll_nats[row];
        point.correct += update.correct[row] ? 1 : 0;
    }
    point.loss_nats /= rules.rows;
    return point;
}

}  // namespace

void update_slots(const SlotUpdate& update) {
    for (std::int32_t slot = 0; slot < update.slots; ++slot) {
        SlotProgress& progress = update.progress[slot];
        if (progress.phase != SlotPhase::running) continue;
        const SlotRules& rules = update.rules[slot];
        const CurvePoint now = evaluation_of(update, rules);
        update.curve[slot * update.curve_points + progress.evaluations % update.curve_points] = now;
        const std::int64_t offset = slot * update.memory_stride;
        const std::int64_t count = rules.memory_vectors * update.width;
        if (judge(rules, now, progress)) {
            std::memcpy(update.best_memory + offset, update.evaluated + offset,
                        static_cast<std::size_t>(count) * sizeof(float));
        }
        if (progress.phase != SlotPhase::running) continue;
        const AdamwFactors with = adamw_factors(rules, progress.evaluations);
        const float* gradient = update.gradient + rules.first_input * update.width;
        float* memory = update.memory + offset;
        float* first_moment = update.first_moment + offset;
        float* second_moment = update.second_moment + offset;
        for (std::int64_t i = 0; i < count; ++i)
            adamw_move(with, gradient[i], memory[i], first_moment[i], second_moment[i]);
    }
}

}  // namespace memcap::memory::detail
