// Means and spreads of the gains.
#include "memcap/metrics/gains.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "memcap/metrics/derived_columns.hpp"

namespace memcap::metrics {

Spread spread(std::span<const double> values) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const auto count = static_cast<double>(values.size());
    if (values.empty()) return {kNone, kNone};
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
    if (values.size() == 1) return {mean, kNone};
    double squares = 0.0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    return {mean, std::sqrt(squares / (count - 1.0))};
}

Gains gains(std::span<const Outcome> outcomes) {
    std::vector<double> tokens;
    std::vector<double> information;
    for (const Outcome& outcome : outcomes) {
        if (!outcome.done() || !saturated(outcome.record->accuracy)) continue;
        const DerivedColumns derived = derived_columns(*outcome.record, outcome.axes->length);
        tokens.push_back(derived.token_gain);
        information.push_back(derived.information_gain_nats);
    }
    return {.tokens = spread(tokens), .information_nats = spread(information)};
}

}  // namespace memcap::metrics
