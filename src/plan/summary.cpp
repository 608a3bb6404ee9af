// Counts and estimates over a plan.
#include "memcap/plan/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace memcap::plan {

namespace {

/// The first entry that `is_it` accepts, made by `make` if there is none.
template <class Entry, class Matches, class Make>
Entry& entry_for(std::vector<Entry>& entries, Matches is_it, Make make) {
    const auto entry = std::find_if(entries.begin(), entries.end(), is_it);
    return entry != entries.end() ? *entry : entries.emplace_back(make());
}

/// The place of a table's model and corpus among the pairs.
std::size_t pair_of(Summary& summary, const PlannedTable& table) {
    const PairSummary& pair = entry_for(
        summary.pairs,
        [&](const PairSummary& other) { return other.model == table.model && other.corpus == table.corpus; },
        [&] {
            PairSummary fresh;
            fresh.model = table.model;
            fresh.corpus = table.corpus;
            return fresh;
        });
    return static_cast<std::size_t>(&pair - summary.pairs.data());
}

FootprintSummary& footprint_for(Summary& summary, const ModelFacts& model, Precision precision,
                                const ValueWidths& widths) {
    return entry_for(
        summary.footprints,
        [&](const FootprintSummary& f) { return f.precision == precision && f.model == model.name; },
        [&] {
            FootprintSummary fresh;
            fresh.model = model.name;
            fresh.precision = precision;
            fresh.weights_bytes = weight_bytes(model, widths.bytes(precision));
            return fresh;
        });
}

void count_skipped(Summary& summary, const Plan& plan, const Skipped& skipped) {
    const PlannedTable& table = plan.tables[skipped.table];
    SkippedSummary& entry = entry_for(
        summary.skips,
        [&](const SkippedSummary& s) {
            return s.reason == skipped.reason && s.model == table.model && s.corpus == table.corpus;
        },
        [&] {
            SkippedSummary fresh;
            fresh.model = table.model;
            fresh.corpus = table.corpus;
            fresh.reason = skipped.reason;
            fresh.first =
                fmt::format("sample {}, K = {}, N = {}, prefix {}: {}", skipped.sample,
                            skipped.memory_vectors, skipped.length, skipped.prefix, skipped.detail());
            return fresh;
        });
    ++entry.count;
}

void count_trial(Summary& summary, PairSummary& pair, const TrialShape& shape, Precision precision,
                 const ModelFacts& model, const ValueWidths& widths) {
    const double flops = max_flops(model, shape);
    pair.trials += 1;
    pair.longest_positions = std::max(pair.longest_positions, shape.positions());
    pair.max_flops += flops;
    FootprintSummary& footprint = footprint_for(summary, model, precision, widths);
    footprint.trials += 1;
    footprint.slot_bytes = std::max(footprint.slot_bytes, slot_bytes(model, shape));
    footprint.max_steps += shape.max_steps;
    footprint.max_flops += flops;
    summary.max_steps += shape.max_steps;
    summary.max_flops += flops;
}

/// Fills in what depends on the machine: slots and hours.
void place_on(const Machine& machine, std::span<const ModelFacts> models, Summary& summary) {
    constexpr double kSecondsPerHour = 3600.0;
    double hours = 0.0;
    for (FootprintSummary& footprint : summary.footprints) {
        if (machine.device_bytes > 0) {
            const std::int64_t logits_bytes =
                head_bytes(machine.head_logits, machine.widths.bytes(footprint.precision));
            footprint.slots = slots_that_fit(machine.device_bytes, footprint.weights_bytes + logits_bytes,
                                             footprint.slot_bytes);
            if (machine.slots > 0) footprint.slots = std::min(footprint.slots, machine.slots);
        }
        const auto model = static_cast<std::size_t>(
            std::find_if(models.begin(), models.end(),
                         [&](const ModelFacts& facts) { return facts.name == footprint.model; }) -
            models.begin());
        Speed speed;
        if (machine.speed && model < models.size()) {
            speed = machine.speed(models[model], footprint.precision,
                                  footprint.max_flops / static_cast<double>(footprint.max_steps));
        }
        const bool is_known = speed.seconds_per_flop > 0.0;
        if (is_known) {
            footprint.max_hours =
                footprint.max_flops * speed.seconds_per_flop / kSecondsPerHour / std::max(machine.workers, 1);
        }
        footprint.hours_basis = std::move(speed.basis);
        hours = is_known && hours >= 0.0 ? hours + footprint.max_hours : -1.0;
    }
    if (!summary.footprints.empty()) summary.max_hours = hours;
}

}  // namespace

Summary summarise(const Plan& plan, std::span<const ModelFacts> models, const Machine& machine) {
    Summary summary;
    summary.trials = static_cast<std::int64_t>(plan.trials.size());
    summary.rows = static_cast<std::int64_t>(plan.rows.size());
    summary.skipped = static_cast<std::int64_t>(plan.skipped.size());
    constexpr std::size_t kUnknown = SIZE_MAX;
    std::vector<std::size_t> pairs(plan.tables.size(), kUnknown);
    std::vector<bool> counted(plan.trials.size());
    for (const Row& row : plan.rows) {
        if (pairs[row.table] == kUnknown) pairs[row.table] = pair_of(summary, plan.tables[row.table]);
        PairSummary& pair = summary.pairs[pairs[row.table]];
        ++pair.rows;
        if (counted[row.trial]) continue;
        counted[row.trial] = true;
        const PlannedTrial& trial = plan.trials[row.trial];
        count_trial(summary, pair, plan.shape_of(trial), trial.precision, models[plan.model_of(trial)],
                    machine.widths);
    }
    for (const Skipped& skipped : plan.skipped) count_skipped(summary, plan, skipped);
    place_on(machine, models, summary);
    return summary;
}

}  // namespace memcap::plan
