// Speeds from stored results, from timed steps, and from data sheets.
#include "app/plan_speed.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "app/device_speed.hpp"
#include "app/engine_speed.hpp"
#include "app/machine.hpp"
#include "app/speed_file.hpp"
#include "app/trial_executor.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/nn/head_loss.hpp"
#include "memcap/plan/cost.hpp"
#include "memcap/plan/speed.hpp"

namespace memcap::app {

namespace {

using Speeds = std::vector<plan::DeviceSpeed>;

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
    static plan::Speed speed(const plan::ModelFacts& /*model*/, Precision precision,
                             double /*flops_per_step*/) {
        return {seconds_per_flop(precision),
                "nothing measured (memcap bench would): half of the peak that is known of an H200"};
    }
};

bool all_weights_are_here(const Preparation& preparation) {
    return std::ranges::all_of(preparation.models,
                               [](const auto& model) { return !hub::weight_files(model.path).empty(); });
}

std::string basis_text(const plan::SpeedEstimate& estimate, Precision precision) {
    const plan::EngineSpeed& basis = estimate.basis;
    std::string text =
        fmt::format("memcap bench of {}: {} in {}, N = {}, K = {}, {} slots, {:.0f} % of the peak",
                    basis.measured_utc, basis.name, to_string(basis.precision), basis.length,
                    basis.memory_vectors, basis.slots, 100.0 * basis.fraction_of_peak());
    if (basis.precision != precision) text += fmt::format(", and the peak in {}", to_string(precision));
    if (estimate.distance > plan::kNear) text += "; nothing nearer was measured";
    return text;
}

plan::SpeedQuestion question_of(const plan::ModelFacts& model, Precision precision, double flops_per_step,
                                std::int32_t slots) {
    return {.family = model.family,
            .scans = model.scan_states > 0,
            .precision = precision,
            .flops_per_step = flops_per_step,
            .slots = slots};
}

/// Why there is no estimate, and which measurement would give one.
std::string missing_text(const Speeds& speeds, const plan::SpeedQuestion& question) {
    if (plan::any_has_slots(speeds, question.slots))
        return "nothing: no product in this precision was measured; run memcap bench again";
    if (question.slots == 0)
        return "nothing: only a given number of slots was measured; run memcap bench without --slots";
    return fmt::format("nothing: {0} slots were not measured; run memcap bench --slots {0}", question.slots);
}

plan::Speed stored_speed(const Speeds& speeds, const plan::SpeedQuestion& question) {
    const auto estimate = plan::estimate_speed(speeds, question);
    if (!estimate) return {.seconds_per_flop = 0.0, .basis = missing_text(speeds, question)};
    return {.seconds_per_flop = estimate->seconds_per_flop,
            .basis = basis_text(*estimate, question.precision)};
}

bool has_near(const Speeds& speeds, const plan::SpeedQuestion& question) {
    const auto estimate = plan::estimate_speed(speeds, question);
    return estimate && estimate->distance <= plan::kNear;
}

/// Times full slots of a model's trial of median size on this device.
plan::Speed timed_speed(const Preparation& preparation, const plan::ModelFacts& model, Precision precision,
                        at::Device device) {
    constexpr double kMeasured_s = 1.0;
    const plan::Plan& plan = preparation.plan;
    std::vector<const plan::PlannedTrial*> trials;
    for (const auto& trial : plan.trials) {
        const auto& own = preparation.models[plan.model_of(trial)];
        if (own.name == model.name && trial.precision == precision) trials.push_back(&trial);
    }
    if (trials.empty()) return {};
    const auto middle = trials.begin() + static_cast<std::ptrdiff_t>(trials.size() / 2);
    std::nth_element(trials.begin(), middle, trials.end(), [&plan](const auto* a, const auto* b) {
        return plan.shape_of(*a).positions() < plan.shape_of(*b).positions();
    });
    const plan::Trial trial = plan.whole(**middle, preparation.tokens);
    WorkerSetup setup;
    setup.slots = preparation.experiment.run.slots;
    setup.curve_every = 0;
    choose_float32_products(precision);
    release_cached_memory(device);
    TimedSteps steps;
    try {
        const auto loaded = models::load(model.path, precision, device);
        steps = time_trial(*loaded, trial, setup, kMeasured_s);
    } catch (const std::exception& problem) {
        if (!memory::is_out_of_memory(problem)) throw;
        return {.seconds_per_flop = 0.0,
                .basis = "nothing: memory is too short for a trial of median size in so many slots"};
    }
    const double flops = steps.trial_steps * plan::flops_per_step(model, plan::shape_of(trial));
    return {.seconds_per_flop = steps.elapsed_s / flops,
            .basis = fmt::format("timed now: a second of its trial of median size, {} slots", steps.slots)};
}

/// One worker on a device of this kind, wherever it is.
plan::Machine machine_of(at::Device kind, std::int64_t memory_bytes, const plan::ValueWidths& widths,
                         std::optional<std::int32_t> slots) {
    return {.device_bytes = memory_bytes,
            .head_logits = kind.is_cpu() ? 0 : nn::kMostDeviceLogits,
            .widths = widths,
            .slots = slots.value_or(most_slots(kind))};
}

PlannedDevice device_of_file(const std::string& file, std::optional<std::int32_t> slots) {
    auto speeds = std::make_shared<const Speeds>(Speeds{read_speed_file(file)});
    const plan::DeviceSpeed& device = speeds->front();
    const at::Device kind = device.kind == plan::Processor::cuda ? at::kCUDA : at::kCPU;
    PlannedDevice planned{
        .name = fmt::format("{} (measured on {})", device.device, device.host),
        .machine = machine_of(kind, device.memory_bytes, plan::value_widths(device), slots)};
    planned.machine.speed = [speeds, slots](const plan::ModelFacts& model, Precision precision,
                                            double flops_per_step) {
        return stored_speed(*speeds, question_of(model, precision, flops_per_step, slots.value_or(0)));
    };
    return planned;
}

/// As far as is known of a device that is not here.
PlannedDevice assumed_device(std::optional<std::int32_t> slots) {
    PlannedDevice planned{.name = AssumedDevice::kName,
                          .machine = machine_of(at::kCUDA, AssumedDevice::kBytes, {}, slots)};
    planned.machine.speed = AssumedDevice::speed;
    return planned;
}

}  // namespace

PlannedDevice planned_device(const Preparation& preparation, const std::string& bench_file,
                             PreparationWatch& watch) {
    const auto& run = preparation.experiment.run;
    const bool use_stored = bench_file.empty();
    if (!use_stored && bench_file != "none") return device_of_file(bench_file, run.slots);
    const at::Device device = device_of_rank(device_kind(run.device), 0);
    const std::int32_t threads = run.threads.value_or(usable_cores());
    at::set_num_threads(threads);
    const std::string kind = device_kind_name(device, threads);
    const auto folder = speed_folder();
    Speeds stored = use_stored && folder ? stored_speeds(*folder, kind) : Speeds();
    const bool weights_are_here = all_weights_are_here(preparation);
    const std::int32_t slots = run.slots.value_or(0);
    if (!weights_are_here && !plan::any_has_slots(stored, slots)) return assumed_device(run.slots);
    PlannedDevice planned{
        .name = kind,
        .machine = machine_of(device, device_memory_bytes(device), value_widths(device), run.slots)};
    planned.machine.speed = [&preparation, &watch, device, weights_are_here, slots,
                             stored = std::move(stored)](const plan::ModelFacts& model, Precision precision,
                                                         double flops_per_step) {
        watch.at(fmt::format("timing steps of model '{}'", model.name));
        const auto question = question_of(model, precision, flops_per_step, slots);
        if (weights_are_here && !has_near(stored, question))
            return timed_speed(preparation, model, precision, device);
        return stored_speed(stored, question);
    };
    return planned;
}

}  // namespace memcap::app
