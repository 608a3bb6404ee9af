// From an experiment to its trials and rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/axes.hpp"
#include "memcap/config/experiment.hpp"
#include "memcap/plan/cost.hpp"
#include "memcap/plan/tokens.hpp"
#include "memcap/plan/trial.hpp"

namespace memcap::plan {

/// A trial of a plan: as Trial, but its tokens and protocol by their place. Plans have millions of them.
struct PlannedTrial {
    Id128 id;
    std::uint64_t seed = 0;
    std::uint32_t table = 0;  ///< index into Plan::tables
    std::int32_t sample = 0;  ///< of that table
    std::int32_t length = 0;  ///< N: the first so many tokens of text_of()
    std::int32_t prefix = 0;  ///< so many tokens of prefix_of()
    std::int32_t memory_vectors = 0;
    std::uint32_t protocol = 0;  ///< index into Plan::protocols
    Precision precision = Precision::float32;
};

/// One row of the result tables: with its trial's seed, length, prefix, K and precision, a tuple of axes.
struct Row {
    std::uint32_t trial = 0;     ///< index into Plan::trials
    std::uint32_t table = 0;     ///< index into Plan::tables
    std::int32_t sample = 0;     ///< of that table
    std::uint32_t protocol = 0;  ///< index into Plan::protocols

    bool operator==(const Row&) const = default;
};

enum class SkipReason : std::uint8_t {
    more_vectors_than_tokens,  ///< K > N, as in the paper
    text_too_short,
    prefix_too_short,
    beyond_context,  ///< K + prefix + N - 1 > the model's context
    unusable_text,   ///< the tokenizer has no tokens for it
    too_wide,        ///< memory vectors that the optimiser is not made for
};

/// The reason in words, the same for all trials that it applies to.
std::string_view to_string(SkipReason value);

/// A tuple of axes that has no trial.
struct Skipped {
    std::uint64_t seed = 0;
    std::uint32_t table = 0;  ///< index into Plan::tables
    std::int32_t sample = 0;  ///< of that table
    std::int32_t length = 0;
    std::int32_t prefix = 0;
    std::int32_t memory_vectors = 0;
    std::uint32_t protocol = 0;  ///< index into Plan::protocols
    /// What there is of that which is too short: tokens of the text or prefix, positions of the model.
    std::int32_t available = 0;
    Precision precision = Precision::float32;
    SkipReason reason = SkipReason::more_vectors_than_tokens;

    bool operator==(const Skipped&) const = default;
};

/// What a plan says of a token table.
struct PlannedTable {
    std::string model;
    std::string corpus;
    Id128 id;                      ///< names the file in tokens/
    std::int32_t model_index = 0;  ///< into the models of the plan; negative if they lack it
    std::map<std::int32_t, std::string> problems = {};  ///< by sample: why it has no tokens
};

/// What a run has to do.
struct Plan {
    std::vector<PlannedTable> tables;  ///< as the token tables of expand()
    std::vector<config::NamedProtocol> protocols;
    std::vector<PlannedTrial> trials;  ///< unique by id, in the order of their first row
    std::vector<Row> rows;             ///< unique by axes, in the order of the sweeps
    std::vector<Skipped> skipped;      ///< unique by axes, in the order of the sweeps

    /// Index into the models that the plan was made for.
    std::size_t model_of(const PlannedTrial& trial) const {
        return static_cast<std::size_t>(tables[trial.table].model_index);
    }
    const Protocol& protocol_of(const PlannedTrial& trial) const { return protocols[trial.protocol].values; }
    TrialShape shape_of(const PlannedTrial& trial) const;
    Axes axes_of(const Row& row) const;
    Axes axes_of(const Skipped& tuple) const;
    /// The numbers that decided that it has no trial, e.g. "has 57 of 64 tokens".
    std::string detail_of(const Skipped& tuple) const;
    /// "text too short: has 57 of 64 tokens".
    std::string reason_of(const Skipped& tuple) const;
    /// The trial with its tokens, which are read from the tables that the plan was made from.
    Trial whole(const PlannedTrial& trial, std::span<const TokenTable> token_tables) const;
};

/// Told now and then of how many tuples of axes are done, and of how many there are. What it throws ends the
/// expansion.
using ExpandProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// All trials of an experiment. `tables` must answer every token request and `models` name every model that a
/// sweep uses. A model whose context_tokens is 0 has no limit.
Plan expand(const config::Experiment& experiment, std::span<const TokenTable> tables,
            std::span<const ModelFacts> models, const ExpandProgress& on_progress = {});

}  // namespace memcap::plan
