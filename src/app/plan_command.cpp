// memcap plan: what an experiment would do and cost.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/live_line.hpp"
#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/preparation.hpp"
#include "app/trial_executor.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/log.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/plan/cost.hpp"
#include "memcap/plan/summary.hpp"

namespace memcap::app {

namespace {

namespace po = boost::program_options;
using nlohmann::json;

/// Seconds per FLOP of a model with full slots, from a few timed steps of its trial of median size.
double measure_seconds_per_flop(const plan::ModelFacts& facts, std::vector<plan::Trial> trials,
                                const WorkerSetup& setup) {
    constexpr int kWarmUpSteps = 2;
    constexpr double kMeasured_s = 1.0;
    std::nth_element(trials.begin(), trials.begin() + static_cast<std::ptrdiff_t>(trials.size() / 2),
                     trials.end(),
                     [](const auto& a, const auto& b) { return a.positions() < b.positions(); });
    plan::Trial trial = trials[trials.size() / 2];
    // The copies must not end while they are timed.
    trial.protocol.max_steps = INT32_MAX;
    trial.protocol.patience = INT32_MAX;
    trial.protocol.stop_accuracy = 2.0;
    const auto model = models::load(facts.path, trial.precision, at::kCPU);
    memory::SlotsEngine engine(*model, slots_options(setup));
    double slots = 0;
    for (; engine.has_room(trial) && slots < kMostSlots; ++slots) engine.enter(trial);
    for (int i = 0; i < kWarmUpSteps; ++i) engine.step();
    const double start_s = monotonic_s();
    double steps = 0;
    while (monotonic_s() - start_s < kMeasured_s) {
        engine.step();
        ++steps;
    }
    return (monotonic_s() - start_s) / (steps * slots * plan::flops_per_step(facts, trial));
}

/// What is assumed of a device that is not here: one H200 (141 GB) at half of its matrix peak. The peaks are
/// 790 TFLOP/s in bfloat16 as measured by matrix products, half of that in tf32, and 67 TFLOP/s in float32
/// (NVIDIA's data sheet).
struct AssumedDevice {
    static constexpr const char* kName = "one H200 at half its matrix peak (assumed, not measured)";
    static constexpr std::int64_t kBytes = 141'000'000'000;
    static double seconds_per_flop(Precision precision) {
        constexpr double kShare = 0.5;
        switch (precision) {
            case Precision::bfloat16:
            case Precision::float16:
                return 1.0 / (kShare * 790e12);
            case Precision::tf32:
                return 1.0 / (kShare * 395e12);
            case Precision::float32:
                break;
        }
        return 1.0 / (kShare * 67e12);
    }
};

bool all_weights_are_here(const Preparation& preparation) {
    return std::ranges::all_of(preparation.models,
                               [](const auto& model) { return !hub::weight_files(model.path).empty(); });
}

std::vector<double> measure_models(const Preparation& preparation) {
    WorkerSetup setup;
    setup.slots = preparation.experiment.run.slots;
    setup.curve_every = 0;
    std::vector<double> seconds(preparation.models.size(), 0.0);
    for (std::size_t i = 0; i < preparation.models.size(); ++i) {
        std::vector<plan::Trial> own;
        for (const auto& trial : preparation.plan.trials) {
            if (trial.model == static_cast<std::int32_t>(i)) own.push_back(trial);
        }
        if (!own.empty()) seconds[i] = measure_seconds_per_flop(preparation.models[i], std::move(own), setup);
    }
    return seconds;
}

std::string hours_text(double hours) {
    return hours < 0 ? "unknown" : duration_text(hours * 3600.0);
}

json as_json(const plan::Summary& summary, const std::string& device) {
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
                              {"max_hours", footprint.max_hours}});
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
            {"footprints", footprints}};
}

void print_summary(const plan::Summary& summary, const std::string& device) {
    fmt::print("{} trials for {} rows, {} skipped\n\n", summary.trials, summary.rows, summary.skipped);
    fmt::print("{:<20} {:<20} {:>8} {:>10} {:>14}\n", "model", "corpus", "trials", "positions", "max TFLOP");
    for (const auto& pair : summary.pairs) {
        fmt::print("{:<20} {:<20} {:>8} {:>10} {:>14.3f}\n", pair.model, pair.corpus, pair.trials,
                   pair.longest_positions, pair.max_flops / 1e12);
    }
    if (!summary.skips.empty()) fmt::print("\nskipped:\n");
    for (const auto& skip : summary.skips) {
        fmt::print("  {} x {} on {}: {} (first: {})\n", skip.count, skip.model, skip.corpus,
                   to_string(skip.reason), skip.first);
    }
    fmt::print("\n{:<20} {:<10} {:>12} {:>12} {:>6} {:>12}\n", "model", "precision", "weights MB", "slot MB",
               "slots", "at most");
    for (const auto& footprint : summary.footprints) {
        fmt::print("{:<20} {:<10} {:>12.1f} {:>12.2f} {:>6} {:>12}\n", footprint.model,
                   to_string(footprint.precision), static_cast<double>(footprint.weights_bytes) / 1e6,
                   static_cast<double>(footprint.slot_bytes) / 1e6, footprint.slots,
                   hours_text(footprint.max_hours));
    }
    fmt::print(
        "\nat most {} steps, {:.1f} TFLOP, {} on one worker with {}; trials that are solved stop earlier\n",
        summary.max_steps, summary.max_flops / 1e12, hours_text(summary.max_hours), device);
}

}  // namespace

int plan_experiment(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap plan FILE.yaml [--set key.path=value]... [--json]",
        .purpose =
            "Says what an experiment would run and skip, what memory it takes, and how long it lasts at "
            "most: by a timed step of each model on this machine, or, where weights are not here, by an "
            "estimate for one H200. Corpora and tokenizers that are not here do not matter either.",
        .options = po::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("set", po::value<std::vector<std::string>>()->composing(),
                                 "change a value of the file")("json", "print JSON");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const auto overrides = parsed->has("set") ? parsed->values["set"].as<std::vector<std::string>>()
                                              : std::vector<std::string>{};
    hub::HashCache hashes;
    const auto preparation = prepare(parsed->files.front(), overrides, ModelCheck::config_only, {}, hashes);
    const std::int32_t threads = threads_of_rank(preparation.experiment.run.threads, 1);
    at::set_num_threads(threads);
    plan::Machine machine;
    std::string device = AssumedDevice::kName;
    if (all_weights_are_here(preparation)) {
        device = cpu_device(threads);
        machine.device_bytes = host_memory_bytes();
        machine.seconds_per_flop = measure_models(preparation);
        machine.slots = preparation.experiment.run.slots.value_or(kMostSlots);
    } else {
        machine.device_bytes = AssumedDevice::kBytes;
        machine.assumed_seconds_per_flop = AssumedDevice::seconds_per_flop;
        machine.slots = preparation.experiment.run.slots.value_or(0);
    }
    const auto summary = plan::summarise(preparation.plan, preparation.models, machine);
    for (const auto& assumption : preparation.assumptions) log::warning(assumption);
    if (parsed->has("json")) {
        fmt::print("{}\n", as_json(summary, device).dump(2));
    } else {
        print_summary(summary, device);
    }
    return kDone;
}

}  // namespace memcap::app
