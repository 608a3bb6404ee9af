// Cross-entropy before against after: which texts can be decoded, and what the memory takes off the others.
#pragma once

#include <span>

#include "memcap/metrics/outcome.hpp"

namespace memcap::metrics {

/// The lines of the paper's cross-entropy figure, in nats; NaN where no trial counts.
struct CrossEntropyLines {
    double threshold;  ///< largest cross-entropy without memory among decoded trials (accuracy >= 0.99)
    double residual_threshold;  ///< largest loss_min * N among them: the figure's horizontal line
    double offset;  ///< mean of ce_nomem - loss_min * scored tokens over trials with accuracy < 0.99: the
                    ///< fit of slope 1, positive = removed by memory
};

/// The lines of one cell (arXiv 2502.13063, figure of cross-entropies, and its notebooks).
CrossEntropyLines cross_entropy_lines(std::span<const Outcome> outcomes);

}  // namespace memcap::metrics
