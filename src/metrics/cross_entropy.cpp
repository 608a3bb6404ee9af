// Thresholds and offset of the cross-entropy figure.
#include "memcap/metrics/cross_entropy.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "memcap/metrics/derived_columns.hpp"
#include "memcap/metrics/gains.hpp"

namespace memcap::metrics {

CrossEntropyLines cross_entropy_lines(std::span<const Outcome> outcomes) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    CrossEntropyLines lines{kNone, kNone, kNone};
    std::vector<double> removed;
    for (const Outcome& outcome : outcomes) {
        if (!outcome.done()) continue;
        const auto& record = *outcome.record;
        const double ce_nomem_nats = derived_columns(record, outcome.axes->length).ce_nomem_nats;
        if (decoded(record.accuracy)) {
            lines.threshold = std::fmax(lines.threshold, ce_nomem_nats);
            lines.residual_threshold =
                std::fmax(lines.residual_threshold, record.loss_min_nats * outcome.axes->length);
        } else {
            removed.push_back(ce_nomem_nats - record.loss_min_nats * record.scored_tokens);
        }
    }
    lines.offset = spread(removed).mean;
    return lines;
}

}  // namespace memcap::metrics
