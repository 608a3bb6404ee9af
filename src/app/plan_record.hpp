// What a run folder has of a plan already.
#pragma once

#include <cstdint>
#include <optional>

#include "app/preparation.hpp"
#include "memcap/plan/summary.hpp"
#include "memcap/store/journal/run_folder.hpp"

namespace memcap::app {

/// How far a run is with a plan.
struct RecordedTrials {
    std::int64_t finished = 0;  ///< trials that the folder has a result of, of whatever plan
    bool is_matched = false;    ///< whether it is known which of the plan's they are; else the rest is 0
    std::int64_t done = 0;      ///< of the plan's trials
    std::int64_t failed = 0;    ///< of the plan's trials, for good
    std::int64_t open = 0;
    std::int64_t max_steps = 0;  ///< of the open ones, as in plan::Summary
    double max_flops = 0.0;
    double max_hours = -1.0;
};

/// How closely models can be looked at without reading weights: `weights` where the run folder knows the
/// hashes of all of them and every text is here, so that trials get the ids they have on record.
ModelCheck check_that_costs_nothing(const config::Experiment& experiment, const hub::HashCache& hashes);

/// Nothing if there is no run in the folder. `summary` is that of the preparation, and gives the speeds.
/// Throws StoreError.
std::optional<RecordedTrials> recorded_trials(const Preparation& preparation, const plan::Summary& summary,
                                              const store::RunFolder& folder);

}  // namespace memcap::app
