// Curve, state and record of a trial in its slot.
#include "memory/detail/occupant.hpp"

#include <utility>

#include "memcap/base/clock.hpp"

namespace memcap::memory::detail {

namespace {

record::StopReason reason_of(SlotPhase phase) {
    switch (phase) {
        case SlotPhase::solved:
            return record::StopReason::solved;
        case SlotPhase::out_of_patience:
            return record::StopReason::patience;
        case SlotPhase::out_of_steps:
            return record::StopReason::max_steps;
        case SlotPhase::empty:
        case SlotPhase::running:
        case SlotPhase::not_finite:
            break;
    }
    return record::StopReason::none;
}

}  // namespace

void Occupant::take_points(std::int32_t curve_every) {
    const SlotProgress& now = progress();
    const bool ended = now.phase != SlotPhase::running;
    record::Curve& curve = state.curve;
    for (std::int32_t number = seen + 1; number <= now.evaluations; ++number) {
        const bool is_last = ended && number == now.evaluations;
        if (curve_every == 0 || (!is_last && (number - 1) % curve_every != 0)) continue;
        const detail::CurvePoint& point = bucket->point(slot, number);
        curve.evaluation.push_back(number);
        curve.loss_nats.push_back(static_cast<float>(point.loss_nats));
        curve.accuracy.push_back(static_cast<float>(static_cast<double>(point.correct) / scored));
    }
    seen = now.evaluations;
}

record::TrialRecord Occupant::finish(bool keep_vector) {
    const SlotProgress& now = progress();
    record::TrialRecord record;
    record.trial_id = trial.id;
    record.status = record::TrialStatus::done;
    record.scored_tokens = scored;
    record.evaluations = now.evaluations;
    record.best_evaluation = now.best_evaluation;
    record.stop_reason = reason_of(now.phase);
    record.loss_nomem_nats = state.loss_nomem_nats;
    record.accuracy_nomem = state.accuracy_nomem;
    record.loss_nats = now.best_loss_nats;
    record.accuracy = static_cast<double>(now.best_correct) / scored;
    record.correct_tokens = now.best_correct;
    record.exact = now.best_correct == scored;
    record.loss_min_nats = now.loss_min_nats;
    record.elapsed_s = state.elapsed_s + monotonic_s() - entered_s;
    if (keep_vector) record.vector = bucket->best_memory(slot);
    record.vector_width =
        static_cast<std::int32_t>(state.memory.size() / static_cast<std::size_t>(trial.memory_vectors));
    record.curve = std::move(state.curve);
    return record;
}

record::TrialRecord Occupant::failed(record::FailureCategory category, std::string message) const {
    record::TrialRecord record;
    record.trial_id = trial.id;
    record.status = record::TrialStatus::failed;
    record.failure = {category, std::move(message)};
    record.scored_tokens = scored;
    record.elapsed_s = state.elapsed_s + monotonic_s() - entered_s;
    return record;
}

SlotState Occupant::exported() const {
    SlotState all = state;
    detail::SlotVectors vectors = bucket->vectors(slot);
    all.memory = std::move(vectors.memory);
    all.first_moment = std::move(vectors.first_moment);
    all.second_moment = std::move(vectors.second_moment);
    all.basis = std::move(vectors.rotation.basis);
    all.scatter = std::move(vectors.rotation.scatter);
    all.renewed = vectors.rotation.renewed;
    const SlotProgress& now = progress();
    if (now.best_correct >= 0) all.best_memory = std::move(vectors.best_memory);
    all.evaluations = now.evaluations;
    all.best_evaluation = now.best_evaluation;
    all.best_correct = now.best_correct;
    all.best_loss_nats = now.best_loss_nats;
    all.loss_min_nats = now.loss_min_nats;
    all.elapsed_s += monotonic_s() - entered_s;
    return all;
}

}  // namespace memcap::memory::detail
