// The update on a CPU.
#include "memory/detail/slot_update.hpp"

#include <cmath>
#include <cstring>
#include <numbers>

namespace memcap::memory::detail {

namespace {

/// The same as learning_rate_at(), from rules.
double rate_of(const SlotRules& rules, std::int32_t step) {
    if (step <= rules.warmup_steps) return rules.learning_rate * step / rules.warmup_steps;
    if (rules.shape == RateShape::constant) return rules.learning_rate;
    const double progress = static_cast<double>(step - rules.warmup_steps) /
                            static_cast<double>(rules.max_steps - rules.warmup_steps);
    if (rules.shape == RateShape::linear) return rules.learning_rate * (1.0 - progress);
    return rules.learning_rate * (1.0 + std::cos(std::numbers::pi * progress)) / 2.0;
}

CurvePoint evaluation_of(const SlotUpdate& update, const SlotRules& rules) {
    CurvePoint point;
    for (std::int32_t row = rules.first_row; row < rules.first_row + rules.rows; ++row) {
        point.loss_nats += update.nll_nats[row];
        point.correct += update.correct[row] ? 1 : 0;
    }
    point.loss_nats /= rules.rows;
    return point;
}

/// Takes an evaluation into a slot's progress; true if its vectors are the best so far.
bool judge(const SlotRules& rules, const CurvePoint& now, SlotProgress& progress) {
    const std::int32_t evaluation = ++progress.evaluations;
    if (!std::isfinite(now.loss_nats)) {
        progress.phase = SlotPhase::not_finite;
        return false;
    }
    if (evaluation == 1 || now.loss_nats < progress.loss_min_nats) progress.loss_min_nats = now.loss_nats;
    const bool is_best = now.correct > progress.best_correct;
    if (is_best) {
        progress.best_correct = now.correct;
        progress.best_evaluation = evaluation;
        progress.best_loss_nats = now.loss_nats;
    }
    if (now.correct >= rules.solving_rows) {
        progress.phase = SlotPhase::solved;
    } else if (evaluation - progress.best_evaluation >= rules.patience) {
        progress.phase = SlotPhase::out_of_patience;
    } else if (evaluation >= rules.max_steps) {
        progress.phase = SlotPhase::out_of_steps;
    }
    return is_best;
}

/// Update number `step` of one slot.
void adamw(const SlotRules& rules, std::int32_t step, std::int64_t count, const float* gradient,
           float* memory, float* first_moment, float* second_moment) {
    const double rate = rate_of(rules, step);
    const auto keep = static_cast<float>(1.0 - rate * rules.weight_decay);
    const auto first_share = static_cast<float>(1.0 - rules.beta1);
    const auto second_keep = static_cast<float>(rules.beta2);
    const auto second_share = static_cast<float>(1.0 - rules.beta2);
    const auto root_correction = static_cast<float>(std::sqrt(1.0 - std::pow(rules.beta2, step)));
    const auto epsilon = static_cast<float>(rules.epsilon);
    const auto size = static_cast<float>(rate / (1.0 - std::pow(rules.beta1, step)));
    for (std::int64_t i = 0; i < count; ++i) {
        const float g = gradient[i];
        first_moment[i] += (g - first_moment[i]) * first_share;
        second_moment[i] = second_moment[i] * second_keep + g * g * second_share;
        const float denominator = std::sqrt(second_moment[i]) / root_correction + epsilon;
        memory[i] = memory[i] * keep - size * (first_moment[i] / denominator);
    }
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
            std::memcpy(update.best_memory + offset, update.memory + offset,
                        static_cast<std::size_t>(count) * sizeof(float));
        }
        if (progress.phase != SlotPhase::running) continue;
        adamw(rules, progress.evaluations, count, update.gradient + rules.first_input * update.width,
              update.memory + offset, update.first_moment + offset, update.second_moment + offset);
    }
}

}  // namespace memcap::memory::detail
