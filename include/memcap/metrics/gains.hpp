// Token gain and information gain: what the memory adds, over the trials that it could not solve.
#pragma once

#include <span>

#include "memcap/metrics/outcome.hpp"

namespace memcap::metrics {

/// NaN where no trial counts; a standard deviation needs two.
struct Spread {
    double mean;
    double standard_deviation;  ///< of the sample: ddof 1
};

/// Mean and sample standard deviation.
Spread spread(std::span<const double> values);

struct Gains {
    Spread tokens;
    Spread information_nats;
};

/// Gains pooled over all lengths of one cell, over the finished trials with accuracy <= 0.99 (the paper's
/// notebooks).
Gains gains(std::span<const Outcome> outcomes);

}  // namespace memcap::metrics
