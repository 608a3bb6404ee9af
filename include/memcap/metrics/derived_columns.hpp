// Columns of a trial that follow from its record and its length.
#pragma once

#include <cstdint>

#include "memcap/record/trial_record.hpp"

namespace memcap::metrics {

/// What one trial's record says beyond its own fields; NaN where the trial failed.
struct DerivedColumns {
    double ce_nomem_nats;          ///< exact sum over the N - 1 tokens that have a prediction without memory
    double ce_nats;                ///< exact sum over the scored tokens, at best_evaluation
    double information_gain_nats;  ///< (loss_nomem - loss_min) * N, as the paper's notebooks compute it
    double token_gain;             ///< (accuracy - accuracy_nomem) * N, as the paper's notebooks compute it
};

/// Derives them for a text of `length` = N tokens (arXiv 2502.13063, section 3 and its notebooks).
DerivedColumns derived_columns(const record::TrialRecord& record, std::int32_t length);

}  // namespace memcap::metrics
