// Cells of an experiment, and all metrics of each.
#include "memcap/metrics/statistics.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <string_view>
#include <unordered_map>

#include "memcap/metrics/cross_entropy.hpp"
#include "memcap/metrics/decoding_capacity.hpp"
#include "memcap/metrics/gains.hpp"
#include "memcap/metrics/theoretical_capacity.hpp"

namespace memcap::metrics {

namespace {

/// Numbers names in the order in which they first occur.
class NameOrder {
  public:
    std::int64_t operator()(const std::string& name) {
        return numbers_.try_emplace(name, static_cast<std::int64_t>(numbers_.size())).first->second;
    }

  private:
    std::unordered_map<std::string_view, std::int64_t> numbers_;
};

using CellKey = std::array<std::int64_t, 6>;

struct Cell {
    const Axes* axes = nullptr;  ///< of any of its trials
    std::vector<Outcome> outcomes;
    std::int64_t open = 0;
};

std::map<CellKey, Cell> group_by_cell(std::span<const Outcome> outcomes, std::span<const Axes* const> open) {
    NameOrder models;
    NameOrder corpora;
    NameOrder protocols;
    const auto key_of = [&](const Axes& axes) {
        return CellKey{models(axes.model),       corpora(axes.corpus),
                       axes.memory_vectors,      axes.prefix,
                       protocols(axes.protocol), static_cast<std::int64_t>(axes.precision)};
    };
    std::map<CellKey, Cell> cells;
    const auto cell_of = [&](const Axes& axes) -> Cell& {
        Cell& cell = cells[key_of(axes)];
        cell.axes = &axes;
        return cell;
    };
    for (const Outcome& outcome : outcomes) cell_of(*outcome.axes).outcomes.push_back(outcome);
    for (const Axes* axes : open) ++cell_of(*axes).open;
    return cells;
}

template <class Row>
const Row* find_named(std::span<const Row> rows, const std::string& name) {
    const auto found =
        std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; });
    return found == rows.end() ? nullptr : &*found;
}

StatisticsRow statistics_of(const Axes& axes, std::span<const Outcome> cell, const record::ModelRow* model,
                            LengthKind lengths) {
    const DecodingCapacity capacity = decoding_capacity(cell, lengths, CapacityRule::mean_accuracy);
    const Gains gain = gains(cell);
    const CrossEntropyLines lines = cross_entropy_lines(cell);
    const double theoretical =
        model ? theoretical_capacity_tokens(axes.memory_vectors, model->memory_width, model->vocabulary_size)
              : std::numeric_limits<double>::quiet_NaN();
    return {.model = axes.model,
            .corpus = axes.corpus,
            .memory_vectors = axes.memory_vectors,
            .prefix = axes.prefix,
            .protocol = axes.protocol,
            .precision = axes.precision,
            .trials = static_cast<std::int64_t>(cell.size()),
            .failed = std::count_if(cell.begin(), cell.end(),
                                    [](const Outcome& outcome) { return !outcome.done(); }),
            .open = 0,
            .capacity_tokens = capacity.tokens,
            .capacity_exact_tokens = decoding_capacity(cell, lengths, CapacityRule::all_exact).tokens,
            .capacity_cut = capacity.cut,
            .token_gain_mean = gain.tokens.mean,
            .token_gain_std = gain.tokens.standard_deviation,
            .information_gain_nats_mean = gain.information_nats.mean,
            .information_gain_nats_std = gain.information_nats.standard_deviation,
            .ce_threshold_nats = lines.threshold,
            .ce_residual_threshold_nats = lines.residual_threshold,
            .ce_offset_nats = lines.offset,
            .theoretical_capacity_tokens = theoretical,
            .utilisation = gain.tokens.mean / theoretical};
}

}  // namespace

std::vector<StatisticsRow> statistics(std::span<const Outcome> outcomes,
                                      std::span<const record::ModelRow> models,
                                      std::span<const record::CorpusRow> corpora,
                                      std::span<const Axes* const> open) {
    std::vector<StatisticsRow> rows;
    for (const auto& [key, cell] : group_by_cell(outcomes, open)) {
        const Axes& axes = *cell.axes;
        const record::CorpusRow* corpus = find_named(corpora, axes.corpus);
        const bool drawn = corpus != nullptr && corpus->drawn_lengths;
        rows.push_back(statistics_of(axes, cell.outcomes, find_named(models, axes.model),
                                     drawn ? LengthKind::drawn : LengthKind::grid));
        StatisticsRow& row = rows.back();
        row.open = cell.open;
        if (row.open > 0) {
            row.capacity_tokens = row.capacity_exact_tokens = -1;
            row.capacity_cut = false;
        }
    }
    return rows;
}

}  // namespace memcap::metrics
