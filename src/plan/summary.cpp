// Counts and estimates over a plan.
#include "memcap/plan/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace memcap::plan {

namespace {

/// The first entry that `is_it` accepts, made from `fresh` if there is none.
template <class Entry, class Matches>
Entry& entry_for(std::vector<Entry>& entries, Matches is_it, const Entry& fresh) {
    const auto entry = std::find_if(entries.begin(), entries.end(), is_it);
    return entry != entries.end() ? *entry : entries.emplace_back(fresh);
}

PairSummary& pair_for(Summary& summary, const Axes& axes) {
    PairSummary fresh;
    fresh.model = axes.model;
    fresh.corpus = axes.corpus;
    return entry_for(
        summary.pairs,
        [&](const PairSummary& pair) { return pair.model == axes.model && pair.corpus == axes.corpus; },
        fresh);
}

FootprintSummary& footprint_for(Summary& summary, const ModelFacts& model, Precision precision,
                                const ValueWidths& widths) {
    FootprintSummary fresh;
    fresh.model = model.name;
    fresh.precision = precision;
    fresh.weights_bytes = weight_bytes(model, widths.bytes(precision));
    return entry_for(
        summary.footprints,
        [&](const FootprintSummary& f) { return f.model == model.name && f.precision == precision; }, fresh);
}

void count_skipped(Summary& summary, const Skipped& skipped) {
    const Axes& axes = skipped.axes;
    SkippedSummary fresh;
    fresh.model = axes.model;
    fresh.corpus = axes.corpus;
    fresh.reason = skipped.reason;
    fresh.first = fmt::format("sample {}, K = {}, N = {}, prefix {}: {}", axes.sample, axes.memory_vectors,
                              axes.length, axes.prefix, skipped.detail);
    const auto is_it = [&](const SkippedSummary& s) {
        return s.model == axes.model && s.corpus == axes.corpus && s.reason == skipped.reason;
    };
    ++entry_for(summary.skips, is_it, fresh).count;
}

void count_trial(Summary& summary, PairSummary& pair, const Trial& trial, const ModelFacts& model,
                 const ValueWidths& widths) {
    const double flops = max_flops(model, trial);
    pair.trials += 1;
    pair.longest_positions = std::max(pair.longest_positions, trial.positions());
    pair.max_flops += flops;
    FootprintSummary& footprint = footprint_for(summary, model, trial.precision, widths);
    footprint.trials += 1;
    footprint.slot_bytes = std::max(footprint.slot_bytes, slot_bytes(model, trial));
    footprint.max_steps += trial.protocol.max_steps;
    footprint.max_flops += flops;
    summary.max_steps += trial.protocol.max_steps;
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
    std::vector<bool> counted(plan.trials.size());
    for (const Row& row : plan.rows) {
        PairSummary& pair = pair_for(summary, row.axes);
        ++pair.rows;
        if (counted[row.trial]) continue;
        counted[row.trial] = true;
        const Trial& trial = plan.trials[row.trial];
        count_trial(summary, pair, trial, models[static_cast<std::size_t>(trial.model)], machine.widths);
    }
    for (const Skipped& skipped : plan.skipped) count_skipped(summary, skipped);
    place_on(machine, models, summary);
    return summary;
}

}  // namespace memcap::plan
