// What `memcap plan` tells about a plan, as numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "memcap/plan/expand.hpp"

namespace memcap::plan {

/// What is known of the machine; zeros and empty lists stand for unknown.
struct Machine {
    std::int32_t workers = 1;
    std::int64_t device_bytes = 0;  ///< memory of one worker's device
    std::vector<double>
        seconds_per_flop;  ///< by model, as ModelFacts; measured with full slots on one worker
    /// The same where a model was not measured; unset: unknown.
    std::function<double(Precision)> assumed_seconds_per_flop = {};
    std::int32_t slots = 0;  ///< asked for by the experiment; 0 = as many as fit
};

/// The trials of one model on one corpus. A trial of several rows is counted with its first one.
struct PairSummary {
    std::string model;
    std::string corpus;
    std::int64_t trials = 0;
    std::int64_t rows = 0;
    std::int32_t longest_positions = 0;
    double max_flops = 0.0;
};

/// Rows that a pair of model and corpus lacks for one reason.
struct SkippedSummary {
    std::string model;
    std::string corpus;
    SkipReason reason = SkipReason::more_vectors_than_tokens;
    std::int64_t count = 0;
    std::string first;  ///< the first of them in words, with its axes
};

/// One model in one precision on one device.
struct FootprintSummary {
    std::string model;
    Precision precision = Precision::float32;
    std::int64_t trials = 0;
    std::int64_t weights_bytes = 0;
    std::int64_t slot_bytes = 0;  ///< of its largest trial
    std::int32_t slots = 0;       ///< of its largest trial that fit on a device; 0 = unknown or none
    double max_flops = 0.0;
    double max_hours = -1.0;  ///< of all workers together at max_steps; negative = unknown
};

struct Summary {
    std::int64_t trials = 0;
    std::int64_t rows = 0;
    std::int64_t skipped = 0;
    std::int64_t max_steps = 0;  ///< evaluations if no trial stopped early
    double max_flops = 0.0;
    double max_hours = -1.0;  ///< wall time on all workers if no trial stopped early; negative = unknown
    std::vector<PairSummary> pairs;
    std::vector<SkippedSummary> skips;
    std::vector<FootprintSummary> footprints;
};

Summary summarise(const Plan& plan, std::span<const ModelFacts> models, const Machine& machine);

}  // namespace memcap::plan
