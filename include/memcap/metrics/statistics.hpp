// One row of statistics for each cell of an experiment: all metrics of a model, corpus, K, prefix, protocol,
// precision.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "memcap/metrics/outcome.hpp"
#include "memcap/record/run_tables.hpp"

namespace memcap::metrics {

/// The statistics of one cell, seeds and samples pooled; NaN where no trial counts.
struct StatisticsRow {
    std::string model;
    std::string corpus;
    std::int32_t memory_vectors = 0;
    std::int32_t prefix = 0;
    std::string protocol;
    Precision precision = Precision::float32;

    std::int64_t trials = 0;  ///< with a record, failed ones included
    std::int64_t failed = 0;  ///< left out of everything below
    std::int64_t open = 0;    ///< planned trials that are still to run
    /// -1 while trials are open.
    std::int32_t capacity_tokens = 0;
    std::int32_t capacity_exact_tokens = 0;
    bool capacity_cut = false;  ///< the largest length still passes: the capacity may be higher
    double token_gain_mean = 0.0;
    double token_gain_std = 0.0;
    double information_gain_nats_mean = 0.0;
    double information_gain_nats_std = 0.0;
    double ce_threshold_nats = 0.0;
    double ce_residual_threshold_nats = 0.0;
    double ce_offset_nats = 0.0;
    double theoretical_capacity_tokens = 0.0;
    double utilisation = 0.0;

    /// Whether there is a capacity to show: no trial is open, and not all have failed.
    bool capacity_known() const { return open == 0 && trials > failed; }
};

/// The statistics of all outcomes, a row a cell, sorted by model, corpus, K, prefix, protocol and precision
/// in the order in which their names first occur in `outcomes`, then in `open`. Widths and vocabularies come
/// from `models`, which corpora have drawn lengths from `corpora`; a model that is not there gives NaN.
/// `open`: axes of the planned trials that are still to run; a cell that has nothing but those has a row too.
std::vector<StatisticsRow> statistics(std::span<const Outcome> outcomes,
                                      std::span<const record::ModelRow> models,
                                      std::span<const record::CorpusRow> corpora,
                                      std::span<const Axes* const> open = {});

}  // namespace memcap::metrics
