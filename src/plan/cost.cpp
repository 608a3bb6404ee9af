// The formulas of cost.hpp.
#include "memcap/plan/cost.hpp"

#include <algorithm>

#include "memcap/base/contracts.hpp"

namespace memcap::plan {

TrialShape shape_of(const Trial& trial) {
    return {.memory_vectors = trial.memory_vectors,
            .prefix_tokens = static_cast<std::int32_t>(trial.prefix.size()),
            .text_tokens = static_cast<std::int32_t>(trial.text.size()),
            .target = trial.protocol.target,
            .max_steps = trial.protocol.max_steps,
            .optimiser = trial.protocol.optimiser};
}

double flops_per_step(const ModelFacts& model, const TrialShape& trial) {
    // Forward 6 (decay, drive, read-out), and the backward with the states recomputed twice.
    constexpr double kScanFlops = 40.0;
    const double positions = trial.positions();
    const auto scored = scored_tokens(trial.target, trial.text_tokens);
    const double products =
        4.0 * static_cast<double>(model.block_parameters - model.idle_parameters) * positions;
    const double attention = 7.0 * positions * positions * model.attention_width * model.layers;
    const double scan = kScanFlops * positions * static_cast<double>(model.scan_states) * model.layers;
    const double head = 4.0 * static_cast<double>(model.head_parameters) * scored;
    return products + attention + scan + head;
}

double max_flops(const ModelFacts& model, const TrialShape& trial) {
    return flops_per_step(model, trial) * trial.max_steps;
}

std::int64_t ValueWidths::bytes(Precision precision) const {
    switch (precision) {
        case Precision::bfloat16:
            return bfloat16_bytes;
        case Precision::float16:
            return float16_bytes;
        case Precision::float32:
        case Precision::tf32:
            break;
    }
    return sizeof(float);
}

std::int64_t weight_bytes(const ModelFacts& model, std::int64_t value_bytes) {
    return (model.embedding_parameters + model.block_parameters + model.head_parameters) * value_bytes;
}

std::int64_t slot_bytes(const ModelFacts& model, const TrialShape& trial) {
    constexpr std::int64_t kLayersInHand = 2;
    constexpr std::int64_t kMemoryCopies = 6;
    constexpr std::int64_t kFloatBytes = 4;
    const std::int64_t layers = std::max<std::int64_t>(model.layers, 1);
    const std::int64_t row =
        model.kept_floats + kLayersInHand * (model.kept_floats / layers) + 4 * std::int64_t{model.width};
    const std::int64_t memory = kMemoryCopies * std::int64_t{model.memory_width} * trial.memory_vectors;
    // Basis and scatter of SOAP, and a product of both.
    const std::int64_t matrices = trial.optimiser == OptimiserKind::soap ? 3 : 0;
    const std::int64_t basis = matrices * model.memory_width * std::int64_t{model.memory_width};
    return kFloatBytes * (row * trial.positions() + memory + basis);
}

std::int64_t head_bytes(std::int64_t logits, std::int64_t value_bytes) {
    return logits * value_bytes;
}

std::int32_t slots_that_fit(std::int64_t device_bytes, std::int64_t resident_bytes,
                            std::int64_t bytes_per_slot) {
    MEMCAP_EXPECT(bytes_per_slot > 0);
    constexpr std::int64_t kMostSlots = 65'536;
    const std::int64_t free_bytes = device_bytes / 10 * 9 - resident_bytes;
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(free_bytes / bytes_per_slot, 0, kMostSlots));
}

}  // namespace memcap::plan
