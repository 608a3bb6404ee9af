// What follows an evaluation, slot by slot, where the slots' state lives: judge it, keep the best, update the
// memory.
#pragma once

#include <cstdint>

// Shapes: B slots, K memory vectors of the bucket, E input width, R scored rows, P evaluations between two
// looks of the host.
namespace memcap::memory::detail {

/// How far a slot is. Only `running` slots are evaluated; the others wait for the host.
enum class SlotPhase : std::int32_t { empty, running, solved, out_of_patience, out_of_steps, not_finite };

enum class RateShape : std::int32_t { constant, cosine, linear };

/// What of a trial's protocol and text decides an update; does not change while the trial is in its slot.
struct SlotRules {
    double learning_rate = 0.0;
    double rate_unit = 1.0;  ///< how long a move at the rate of 1 is; the decay knows no unit
    double beta1 = 0.0;
    double beta2 = 0.0;
    double weight_decay = 0.0;
    double epsilon = 0.0;
    RateShape shape = RateShape::constant;
    std::int32_t warmup_steps = 0;
    std::int32_t max_steps = 0;
    std::int32_t patience = 0;
    std::int32_t memory_vectors = 0;  ///< of the K of the bucket: the first ones
    std::int64_t first_input = 0;     ///< row of the input, and of its gradient, where the memory begins
    std::int32_t first_row = 0;       ///< of the R scored rows
    std::int32_t rows = 0;            ///< scored tokens
    std::int32_t solving_rows = 0;    ///< so many right ones end the trial
    float gradient_scale = 1.0F;      ///< what the gradient of the mean loss comes multiplied by
};

/// What changes with each evaluation.
struct SlotProgress {
    SlotPhase phase = SlotPhase::empty;
    std::int32_t evaluations = 0;
    std::int32_t best_evaluation = 0;
    std::int32_t best_correct = -1;
    double best_loss_nats = 0.0;  ///< at best_evaluation
    double loss_min_nats = 0.0;
};

/// One evaluation of a slot, for the learning curve.
struct CurvePoint {
    double loss_nats = 0.0;
    std::int32_t correct = 0;
};

struct SlotUpdate {
    std::int32_t slots = 0;            ///< B
    std::int64_t memory_stride = 0;    ///< K * E
    std::int64_t width = 0;            ///< E
    const SlotRules* rules = nullptr;  ///< [B]
    SlotProgress* progress = nullptr;  ///< [B]
    CurvePoint* curve = nullptr;       ///< [B, P]; evaluation e stands at (e - 1) % P
    std::int32_t curve_points = 0;     ///< P
    const float* nll_nats = nullptr;   ///< [R]
    const bool* correct = nullptr;     ///< [R]
    const float* gradient = nullptr;   ///< of the input, rows of E
    float* memory = nullptr;           ///< [B, K, E]
    float* first_moment = nullptr;
    float* second_moment = nullptr;
    float* best_memory = nullptr;
};

/// For each running slot: loss = mean of its rows' nll, right ones counted; the vectors of the first
/// evaluation with the most right ones are kept; then the trial ends (phase) or AdamW moves its memory
/// (torch.optim.AdamW: decoupled weight decay, bias-corrected moments; rate by interface.md's schedule). A
/// loss that is not finite ends the trial. Slots do not see each other.
void update_slots(const SlotUpdate& update);

}  // namespace memcap::memory::detail
