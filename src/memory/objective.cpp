// Label alignment.
#include "memcap/memory/objective.hpp"

#include "memcap/base/contracts.hpp"

namespace memcap::memory {

namespace {

Objective aligned(std::int32_t memory_vectors, std::span<const std::int32_t> prefix,
                  std::span<const std::int32_t> text, Target target) {
    MEMCAP_EXPECT(!text.empty());
    Objective objective{
        .memory_vectors = memory_vectors, .input_tokens = {prefix.begin(), prefix.end()}, .scored = {}};
    objective.input_tokens.insert(objective.input_tokens.end(), text.begin(), text.end() - 1);
    const auto before_text = memory_vectors + static_cast<std::int32_t>(prefix.size());
    const std::int32_t first_scored = target == Target::all ? 0 : 1;
    MEMCAP_EXPECT(before_text + first_scored >= 1);
    for (auto i = first_scored; i < static_cast<std::int32_t>(text.size()); ++i) {
        // Text token i stands at before_text + i; the position before it predicts it.
        objective.scored.push_back({before_text + i - 1, text[static_cast<std::size_t>(i)]});
    }
    return objective;
}

}  // namespace

Objective objective_of(const plan::Trial& trial) {
    return aligned(trial.memory_vectors, trial.prefix, trial.text, trial.protocol.target);
}

Objective objective_without_memory(std::span<const std::int32_t> prefix, std::span<const std::int32_t> text) {
    return aligned(0, prefix, text, Target::after_first);
}

}  // namespace memcap::memory
