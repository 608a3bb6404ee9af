// What `memcap plan` tells about a plan, as numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "memcap/plan/cost.hpp"
#include "memcap/plan/expand.hpp"

namespace memcap::plan {

/// How fast one worker with full slots is.
struct Speed {
    double seconds_per_flop = 0.0;  ///< 0 = unknown
    std::string basis;              ///< what that rests on, in words
};

/// What is known of the machine; zeros stand for unknown.
struct Machine {
    std::int32_t workers = 1;
    std::int64_t device_bytes = 0;  ///< memory of one worker's device
    std::int64_t head_logits = 0;   ///< that the device computes together; 0 = too few to count
    ValueWidths widths = {};
    /// For trials of a model in a precision whose steps have so many FLOPs on average; unset: unknown.
    std::function<Speed(const ModelFacts& model, Precision precision, double flops_per_step)> speed = {};
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
    std::int64_t max_steps = 0;
    double max_flops = 0.0;
    double max_hours = -1.0;  ///< of all workers together at max_steps; negative = unknown
    std::string hours_basis;  ///< as Speed::basis
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
