// A view of one row of results: where it stands in the experiment, and what came out.
#pragma once

#include "memcap/base/axes.hpp"
#include "memcap/record/trial_record.hpp"

namespace memcap::metrics {

/// Borrowed: axes and record must outlive it.
struct Outcome {
    const Axes* axes;
    const record::TrialRecord* record;

    bool done() const { return record->status == record::TrialStatus::done; }
};

/// The share of right tokens from which the paper calls a text decoded.
inline constexpr double kDecodedAccuracy = 0.99;
/// Accuracies are ratios of small integers and their means; nothing real lies this close to the limit without
/// being equal to it, while decimal fractions may miss it by their last bits.
inline constexpr double kAccuracyTolerance = 1e-7;

/// accuracy >= 0.99
inline bool decoded(double accuracy) {
    return accuracy >= kDecodedAccuracy - kAccuracyTolerance;
}
/// accuracy <= 0.99: the trial asks for more than its memory holds, so its gain measures the memory, not the
/// text.
inline bool saturated(double accuracy) {
    return accuracy <= kDecodedAccuracy + kAccuracyTolerance;
}

}  // namespace memcap::metrics
