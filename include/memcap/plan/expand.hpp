// From an experiment to its trials and rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/axes.hpp"
#include "memcap/config/experiment.hpp"
#include "memcap/plan/tokens.hpp"
#include "memcap/plan/trial.hpp"

namespace memcap::plan {

/// One row of the result tables: a tuple of axes and the trial that answers it.
struct Row {
    Axes axes;
    Id128 trial_id;
    std::size_t trial = 0;  ///< index into Plan::trials
    std::int32_t scored_tokens = 0;
    Id128 token_table;  ///< names the file in tokens/
    std::int32_t token_sample =
        0;  ///< the sample's place in it; the trial has its first `axes.length` tokens
};

enum class SkipReason : std::uint8_t {
    more_vectors_than_tokens,  ///< K > N, as in the paper
    text_too_short,
    prefix_too_short,
    beyond_context,  ///< K + prefix + N - 1 > the model's context
    unusable_text,   ///< the tokenizer has no tokens for it
};

/// The reason in words, the same for all trials that it applies to.
std::string_view to_string(SkipReason value);

/// A tuple of axes that has no trial.
struct Skipped {
    Axes axes;
    SkipReason reason = SkipReason::more_vectors_than_tokens;
    std::string detail;  ///< the numbers that decided it, e.g. "has 57 tokens"

    /// "text too short: has 57 tokens".
    std::string text() const;
};

/// What a run has to do.
struct Plan {
    std::vector<Trial> trials;     ///< unique by id, in the order of their first row
    std::vector<Row> rows;         ///< unique by axes, in the order of the sweeps
    std::vector<Skipped> skipped;  ///< unique by axes, in the order of the sweeps
};

/// All trials of an experiment. `tables` must answer every token request and `models` name every model that a
/// sweep uses; Trial::model is the index into `models`. A model whose context_tokens is 0 has no limit.
Plan expand(const config::Experiment& experiment, std::span<const TokenTable> tables,
            std::span<const ModelFacts> models);

}  // namespace memcap::plan
