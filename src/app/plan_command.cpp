// memcap plan: what an experiment would do and cost.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "app/amounts.hpp"
#include "app/disk_space.hpp"
#include "app/live_line.hpp"
#include "app/options.hpp"
#include "app/plan_record.hpp"
#include "app/plan_speed.hpp"
#include "app/preparation.hpp"
#include "app/preparation_watch.hpp"
#include "app/signals.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/log.hpp"
#include "memcap/config/load.hpp"
#include "memcap/plan/summary.hpp"

namespace memcap::app {

namespace {

namespace po = boost::program_options;
using nlohmann::json;

std::string hours_text(double hours) {
    return hours < 0 ? "unknown" : duration_text(hours * 3600.0);
}

json as_json(std::span<const CorpusTexts> corpora) {
    json list = json::array();
    for (const auto& texts : corpora) {
        json left_out = json::array();
        for (const auto& [name, why] : texts.left_out) left_out.push_back({{"name", name}, {"reason", why}});
        list.push_back({{"corpus", texts.corpus}, {"sources", texts.sources}, {"left_out", left_out}});
    }
    return list;
}

json as_json(const plan::DiskUse& disk, const std::string& folder) {
    const auto available = free_bytes(folder);
    return {{"folder", folder},
            {"bytes", disk.total_bytes()},
            {"vectors_bytes", disk.vectors_bytes},
            {"curves_bytes", disk.curves_bytes},
            {"records_bytes", disk.records_bytes},
            {"tokens_bytes", disk.tokens_bytes},
            {"free_bytes", available ? json(*available) : json()}};
}

json as_json(const plan::Summary& summary, const std::string& device, std::span<const CorpusTexts> corpora) {
    json pairs = json::array();
    for (const auto& pair : summary.pairs) {
        pairs.push_back({{"model", pair.model},
                         {"corpus", pair.corpus},
                         {"trials", pair.trials},
                         {"rows", pair.rows},
                         {"longest_positions", pair.longest_positions},
                         {"max_flops", pair.max_flops}});
    }
    json skips = json::array();
    for (const auto& skip : summary.skips) {
        skips.push_back({{"model", skip.model},
                         {"corpus", skip.corpus},
                         {"reason", to_string(skip.reason)},
                         {"count", skip.count},
                         {"first", skip.first}});
    }
    json footprints = json::array();
    for (const auto& footprint : summary.footprints) {
        footprints.push_back({{"model", footprint.model},
                              {"precision", to_string(footprint.precision)},
                              {"trials", footprint.trials},
                              {"weights_bytes", footprint.weights_bytes},
                              {"slot_bytes", footprint.slot_bytes},
                              {"slots", footprint.slots},
                              {"max_flops", footprint.max_flops},
                              {"max_hours", footprint.max_hours},
                              {"hours_basis", footprint.hours_basis}});
    }
    return {{"trials", summary.trials},
            {"rows", summary.rows},
            {"skipped", summary.skipped},
            {"max_steps", summary.max_steps},
            {"max_flops", summary.max_flops},
            {"max_hours", summary.max_hours},
            {"device", device},
            {"pairs", pairs},
            {"skips", skips},
            {"footprints", footprints},
            {"texts", as_json(corpora)}};
}

json as_json(const RecordedTrials& recorded) {
    json all = {{"finished", recorded.finished}, {"is_matched", recorded.is_matched}};
    if (!recorded.is_matched) return all;
    all.update({{"done", recorded.done},
                {"failed", recorded.failed},
                {"open", recorded.open},
                {"max_steps", recorded.max_steps},
                {"max_flops", recorded.max_flops},
                {"max_hours", recorded.max_hours}});
    return all;
}

/// What the hours rest on, once for all models of which it is the same.
void print_bases(const plan::Summary& summary) {
    std::vector<std::pair<std::string, std::string>> models_by_basis;
    for (const auto& footprint : summary.footprints) {
        const auto known = std::ranges::find(models_by_basis, footprint.hours_basis,
                                             &std::pair<std::string, std::string>::first);
        if (known == models_by_basis.end()) {
            models_by_basis.emplace_back(footprint.hours_basis, footprint.model);
        } else {
            known->second += ", " + footprint.model;
        }
    }
    fmt::print("\nthe times rest on\n");
    for (const auto& [basis, models] : models_by_basis) fmt::print("  {}\n    for {}\n", basis, models);
}

/// Which files the texts are, and what else lies in their folders.
void print_texts(std::span<const CorpusTexts> corpora) {
    constexpr std::size_t kNamed = 6;
    if (!corpora.empty()) fmt::print("\ntexts:\n");
    for (const auto& texts : corpora) {
        fmt::print("  {}: {}: {}\n", texts.corpus, count_text(texts.sources.size(), "sample"),
                   listed(texts.sources, kNamed));
        if (!texts.left_out.empty()) fmt::print("    left out: {}\n", left_out_text(texts));
    }
}

void print_pairs(const plan::Summary& summary) {
    fmt::print("{} for {}, {} skipped\n\n", count_text(summary.trials, "trial"),
               count_text(summary.rows, "row"), grouped(summary.skipped));
    fmt::print("{:<20} {:<20} {:>12} {:>10} {:>12}\n", "model", "corpus", "trials", "positions", "at most");
    for (const auto& pair : summary.pairs) {
        fmt::print("{:<20} {:<20} {:>12} {:>10} {:>12}\n", pair.model, pair.corpus, grouped(pair.trials),
                   grouped(pair.longest_positions), scaled(pair.max_flops, "FLOP"));
    }
    if (!summary.skips.empty()) fmt::print("\nskipped:\n");
    for (const auto& skip : summary.skips) {
        fmt::print("  {} x {} on {}: {} (first: {})\n", grouped(skip.count), skip.model, skip.corpus,
                   to_string(skip.reason), skip.first);
    }
}

void print_footprints(const plan::Summary& summary) {
    fmt::print("\n{:<20} {:<10} {:>10} {:>10} {:>7} {:>12}\n", "model", "precision", "weights", "a slot",
               "slots", "at most");
    for (const auto& footprint : summary.footprints) {
        fmt::print(
            "{:<20} {:<10} {:>10} {:>10} {:>7} {:>12}\n", footprint.model, to_string(footprint.precision),
            bytes_text(footprint.weights_bytes), bytes_text(footprint.slot_bytes),
            footprint.slots > 0 ? grouped(footprint.slots) : "no fit", hours_text(footprint.max_hours));
    }
}

void print_disk(const plan::DiskUse& disk, const std::string& folder) {
    const auto available = free_bytes(folder);
    fmt::print("disk: at most {} in {} (vectors {}, curves {}, records {}, tokens {}); {} free\n",
               bytes_text(disk.total_bytes()), folder, bytes_text(disk.vectors_bytes),
               bytes_text(disk.curves_bytes), bytes_text(disk.records_bytes), bytes_text(disk.tokens_bytes),
               available ? bytes_text(*available) : "unknown");
}

void print_summary(const plan::Summary& summary, const std::string& device) {
    print_pairs(summary);
    if (summary.trials == 0) {
        fmt::print("\nnothing would run: all are skipped\n");
        return;
    }
    print_footprints(summary);
    print_bases(summary);
    fmt::print("\nat most {}, {}, {} on one worker with {}; trials that are solved stop earlier\n",
               count_text(summary.max_steps, "step"), scaled(summary.max_flops, "FLOP"),
               hours_text(summary.max_hours), device);
}

/// What a run into the folder would find there.
void print_record(const RecordedTrials& recorded, const std::string& folder) {
    if (!recorded.is_matched) {
        fmt::print(
            "{} has {} done; which of these they are, `memcap run` sees when it hashes the weights and reads "
            "the texts\n",
            folder, count_text(recorded.finished, "trial"));
        return;
    }
    fmt::print("{} has {} of these trials done", folder, grouped(recorded.done));
    if (recorded.failed > 0) fmt::print(", {} failed for good", grouped(recorded.failed));
    if (recorded.open == 0) {
        fmt::print(": nothing is left to run\n");
        return;
    }
    fmt::print("; the other {} take at most {}, {}, {}\n", grouped(recorded.open),
               count_text(recorded.max_steps, "step"), scaled(recorded.max_flops, "FLOP"),
               hours_text(recorded.max_hours));
}

/// Prepares as far as nothing has to be hashed, with the tokens that the run folder keeps.
Preparation prepare_plan(const ParsedCommand& parsed, const std::vector<std::string>& overrides,
                         const config::Experiment& experiment, const store::RunFolder& folder,
                         PreparationWatch& watch) {
    const bool is_run = folder.exists();
    hub::HashCache hashes = is_run ? hub::HashCache(folder.hashes()) : hub::HashCache();
    const ModelCheck check = is_run ? check_that_costs_nothing(experiment, hashes) : ModelCheck::config_only;
    std::optional<store::TokenCache> cache;
    if (check == ModelCheck::weights) cache.emplace(folder.tokens());
    return prepare(parsed.files.front(), overrides, check, cache, hashes, watch);
}

/// Prints the plan of an experiment; throws PreparationStopped.
void print_plan(const ParsedCommand& parsed, PreparationWatch& watch) {
    const auto overrides =
        parsed.has("set") ? parsed.values["set"].as<std::vector<std::string>>() : std::vector<std::string>{};
    const auto experiment =
        config::load(parsed.files.front(), overrides, config::Paths::texts_may_be_elsewhere);
    const store::RunFolder folder(parsed.has("out") ? std::filesystem::path(parsed.text("out"))
                                                    : default_folder(experiment));
    const auto preparation = prepare_plan(parsed, overrides, experiment, folder, watch);
    const PlannedDevice device = planned_device(preparation, parsed.text("bench"), watch);
    const auto summary = plan::summarise(preparation.plan, preparation.models, device.machine);
    const auto recorded = recorded_trials(preparation, summary, folder);
    const plan::DiskUse disk = disk_use(preparation);
    const std::string name = folder.root().string();
    watch.finish();
    for (const auto& assumption : preparation.assumptions) log::warning(assumption);
    if (parsed.has("json")) {
        json all = as_json(summary, device.name, preparation.corpus_texts);
        all["disk"] = as_json(disk, name);
        all["record"] = recorded ? as_json(*recorded) : json();
        fmt::print("{}\n", all.dump(2));
    } else {
        print_summary(summary, device.name);
        if (recorded && recorded->finished > 0) print_record(*recorded, name);
        print_texts(preparation.corpus_texts);
        print_disk(disk, name);
    }
    const bool is_matched = recorded && recorded->is_matched;
    warn_of_full_disk(folder.root(), is_matched
                                         ? disk_bytes(preparation, static_cast<std::size_t>(recorded->open))
                                         : disk.total_bytes());
}

}  // namespace

int plan_experiment(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap plan FILE.yaml [--out DIR] [--set key.path=value]... [--bench FILE.json] [--json]",
        .purpose =
            "Says what an experiment would run and skip, what memory and disk space it takes, and how long "
            "it lasts at most: by what memcap bench measured on this device, by a timed step of each model "
            "it was not "
            "run for, or, where nothing was measured and weights are not here, by an estimate for one H200. "
            "Tokenizers that are not here do not matter either, nor do corpora whose folder is not here. "
            "Random words of one seed stand for those of all. Where the run folder has results already, says "
            "what is left.",
        .options = po::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("out", po::value<std::string>(), "run folder (default: runs/<experiment>)")(
        "set", po::value<std::vector<std::string>>()->composing(), "change a value of the file")(
        "bench", po::value<std::string>(),
        "hours by this result of memcap bench, also of another machine; none: without any result")(
        "json", "print JSON");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    PreparationWatch watch(install_stop_signals(), "before the plan was made");
    try {
        print_plan(*parsed, watch);
        return kDone;
    } catch (const PreparationStopped& stopped) {
        log::warning(stopped.what());
        return kWorkRemains;
    }
}

}  // namespace memcap::app
