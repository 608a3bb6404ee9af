// The rules of one slot's step, the same on every device: the rate, the verdict on an evaluation, AdamW.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "memory/detail/slot_update.hpp"

#ifdef __CUDACC__
#define MEMCAP_ANYWHERE __host__ __device__
#else
#define MEMCAP_ANYWHERE
#endif

namespace memcap::memory::detail {

/// The same as learning_rate_at(), from rules.
MEMCAP_ANYWHERE inline double rate_of(const SlotRules& rules, std::int32_t step) {
    if (step <= rules.warmup_steps) return rules.learning_rate * step / rules.warmup_steps;
    if (rules.shape == RateShape::constant) return rules.learning_rate;
    const double progress = static_cast<double>(step - rules.warmup_steps) /
                            static_cast<double>(rules.max_steps - rules.warmup_steps);
    if (rules.shape == RateShape::linear) return rules.learning_rate * (1.0 - progress);
    return rules.learning_rate * (1.0 + std::cos(std::numbers::pi * progress)) / 2.0;
}

/// Takes an evaluation into a slot's progress; true if its vectors are the best so far.
MEMCAP_ANYWHERE inline bool judge(const SlotRules& rules, const CurvePoint& now, SlotProgress& progress) {
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

/// The factors of one AdamW update, computed in double and used in float.
struct AdamwFactors {
    float gradient_share;
    float keep;
    float first_share;
    float second_keep;
    float second_share;
    float root_correction;
    float epsilon;
    float size;
};

/// Of update number `step`, from 1.
MEMCAP_ANYWHERE inline AdamwFactors adamw_factors(const SlotRules& rules, std::int32_t step) {
    const double rate = rate_of(rules, step);
    const auto power = static_cast<double>(step);
    return {.gradient_share = 1.0F / rules.gradient_scale,
            .keep = static_cast<float>(1.0 - rate * rules.weight_decay),
            .first_share = static_cast<float>(1.0 - rules.beta1),
            .second_keep = static_cast<float>(rules.beta2),
            .second_share = static_cast<float>(1.0 - rules.beta2),
            .root_correction = static_cast<float>(std::sqrt(1.0 - std::pow(rules.beta2, power))),
            .epsilon = static_cast<float>(rules.epsilon),
            .size = static_cast<float>(rate * rules.rate_unit / (1.0 - std::pow(rules.beta1, power)))};
}

/// Moves one number of the memory.
MEMCAP_ANYWHERE inline void adamw_move(const AdamwFactors& with, float gradient, float& memory,
                                       float& first_moment, float& second_moment) {
    gradient *= with.gradient_share;
    first_moment += (gradient - first_moment) * with.first_share;
    second_moment = second_moment * with.second_keep + gradient * gradient * with.second_share;
    const float denominator = std::sqrt(second_moment) / with.root_correction + with.epsilon;
    memory = memory * with.keep - with.size * (first_moment / denominator);
}

}  // namespace memcap::memory::detail
