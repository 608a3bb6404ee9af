// Trials of a plan looked up in a journal, and what the others cost.
#include "app/plan_record.hpp"

#include <algorithm>
#include <filesystem>

#include "memcap/hub/safetensors.hpp"
#include "memcap/hub/tokenizer_files.hpp"
#include "memcap/plan/cost.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::app {

namespace {

bool is_used(const config::Experiment& experiment, const std::string& model) {
    return std::ranges::any_of(experiment.sweeps, [&](const config::Sweep& sweep) {
        return std::ranges::find(sweep.models, model) != sweep.models.end();
    });
}

/// Adds a trial at the speed that the summary has for its model; hours stay unknown once they are.
void add_open(RecordedTrials& recorded, const plan::TrialShape& shape, double flops,
              const plan::FootprintSummary& footprint) {
    ++recorded.open;
    recorded.max_steps += shape.max_steps;
    recorded.max_flops += flops;
    const bool is_known = recorded.max_hours >= 0.0 && footprint.max_hours >= 0.0;
    recorded.max_hours =
        is_known ? recorded.max_hours + footprint.max_hours * flops / footprint.max_flops : -1.0;
}

}  // namespace

ModelCheck check_that_costs_nothing(const config::Experiment& experiment, const hub::HashCache& hashes) {
    for (const auto& model : experiment.models) {
        if (!is_used(experiment, model.name)) continue;
        auto files = hub::weight_files(model.path);
        if (files.empty() || !hub::has_tokenizer(model.path)) return ModelCheck::config_only;
        files.push_back(model.path / "config.json");
        if (!hashes.knew(files)) return ModelCheck::config_only;
    }
    const bool all_here = std::ranges::all_of(experiment.corpora, [](const config::Corpus& corpus) {
        return std::filesystem::exists(corpus.path);
    });
    return all_here ? ModelCheck::weights : ModelCheck::config_only;
}

std::optional<RecordedTrials> recorded_trials(const Preparation& preparation, const plan::Summary& summary,
                                              const store::RunFolder& folder) {
    if (!folder.exists()) return std::nullopt;
    // As a run will see them: results whose vectors never reached the disk are computed again.
    const store::RunState state =
        store::replay(folder, store::bulk_files_check(folder), store::TornTails::keep);
    RecordedTrials recorded;
    for (const auto& [id, stored] : state.records()) recorded.finished += stored.final() ? 1 : 0;
    recorded.is_matched = !preparation.identities.empty();
    if (!recorded.is_matched) return recorded;
    recorded.max_hours = 0.0;
    const plan::Plan& plan = preparation.plan;
    for (const auto& trial : plan.trials) {
        const store::StoredRecord* stored = state.find(trial.id);
        const bool is_done = stored != nullptr && stored->final();
        const bool has_failed = stored != nullptr && stored->failed_for_good();
        recorded.done += is_done ? 1 : 0;
        recorded.failed += has_failed ? 1 : 0;
        if (is_done || has_failed) continue;
        const auto& model = preparation.models[plan.model_of(trial)];
        const auto footprint =
            std::ranges::find_if(summary.footprints, [&](const plan::FootprintSummary& entry) {
                return entry.model == model.name && entry.precision == trial.precision;
            });
        const plan::TrialShape shape = plan.shape_of(trial);
        add_open(recorded, shape, plan::max_flops(model, shape), *footprint);
    }
    return recorded;
}

}  // namespace memcap::app
