// Decoding capacity over a grid of lengths or over drawn lengths.
#include "memcap/metrics/decoding_capacity.hpp"

#include <map>

namespace memcap::metrics {

namespace {

struct LengthScore {
    double accuracy_sum = 0.0;
    std::int32_t trials = 0;
    std::int32_t exact = 0;
    bool any_decoded = false;

    bool passes(LengthKind lengths, CapacityRule rule) const {
        if (rule == CapacityRule::all_exact)
            return lengths == LengthKind::drawn ? exact > 0 : exact == trials;
        return lengths == LengthKind::drawn ? any_decoded : decoded(accuracy_sum / trials);
    }
};

}  // namespace

DecodingCapacity decoding_capacity(std::span<const Outcome> outcomes, LengthKind lengths, CapacityRule rule) {
    std::map<std::int32_t, LengthScore> scores;
    for (const Outcome& outcome : outcomes) {
        if (!outcome.done()) continue;
        LengthScore& score = scores[outcome.axes->length];
        score.accuracy_sum += outcome.record->accuracy;
        ++score.trials;
        if (outcome.record->exact) ++score.exact;
        if (decoded(outcome.record->accuracy)) score.any_decoded = true;
    }
    DecodingCapacity capacity;
    for (const auto& [length, score] : scores) {
        if (score.passes(lengths, rule)) capacity.tokens = length;
    }
    capacity.cut = capacity.tokens > 0 && capacity.tokens == scores.rbegin()->first;
    return capacity;
}

}  // namespace memcap::metrics
