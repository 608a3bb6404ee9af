// What trials cost: floating-point operations and memory, estimated before anything runs.
#pragma once

#include <cstdint>

#include "memcap/plan/trial.hpp"

namespace memcap::plan {

/// What a trial costs by: its size, whatever its tokens are.
struct TrialShape {
    std::int32_t memory_vectors = 1;  ///< K
    std::int32_t prefix_tokens = 0;
    std::int32_t text_tokens = 0;  ///< N
    Target target = Target::after_first;
    std::int32_t max_steps = 1;
    OptimiserKind optimiser = OptimiserKind::adamw;

    /// T = K + prefix + N - 1: the last token need not be fed.
    std::int32_t positions() const { return memory_vectors + prefix_tokens + text_tokens - 1; }
};

TrialShape shape_of(const Trial& trial);

/// Floating-point operations of one step (forward pass and backward pass to the inputs alone) of one slot:
/// 4 P_block T + 7 T^2 H d layers + 40 T C S layers + 4 V D scored (C S: states of a scan). Frozen weights
/// need no gradient, hence 2 + 2 operations a weight and position; the quadratic term is causal attention
/// with its recomputation in the backward pass.
double flops_per_step(const ModelFacts& model, const TrialShape& trial);

/// flops_per_step times max_steps: an upper bound, since a trial stops when it is solved or runs out of
/// patience.
double max_flops(const ModelFacts& model, const TrialShape& trial);

/// Bytes of a number in the type that a device multiplies, in which weights lie in its memory: a GPU's,
/// unless changed. A device without products of a 16-bit type holds the rounded values in float32.
struct ValueWidths {
    std::int64_t bfloat16_bytes = 2;
    std::int64_t float16_bytes = 2;

    std::int64_t bytes(Precision precision) const;
};

/// Bytes of the weights in a device's memory. A tied head is counted twice: an upper bound.
std::int64_t weight_bytes(const ModelFacts& model, std::int64_t value_bytes);

/// Bytes that a trial's slot takes while it runs, an upper estimate: what its rows leave for the backward
/// pass (kept_floats), as much as two layers leave for what a step has in hand, four rows of D around the
/// head, and six copies of the memory (value, gradient, two moments, best, input); all float32. Logits are no
/// part: they exist for some rows at once, however many slots there are (head_bytes).
std::int64_t slot_bytes(const ModelFacts& model, const TrialShape& trial);

/// Bytes of the logits that exist at once, beside the weights and whatever the slots, on a device that
/// computes so many of them together.
std::int64_t head_bytes(std::int64_t logits, std::int64_t value_bytes);

/// Slots of `bytes_per_slot` that fit beside what is there anyway (weights, logits) into nine tenths of a
/// device's memory; 0 if none does.
std::int32_t slots_that_fit(std::int64_t device_bytes, std::int64_t resident_bytes,
                            std::int64_t bytes_per_slot);

}  // namespace memcap::plan
