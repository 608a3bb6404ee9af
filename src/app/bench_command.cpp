// memcap bench: measured speed of the slots engine beside what the device itself reaches.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/amounts.hpp"
#include "app/device_speed.hpp"
#include "app/engine_speed.hpp"
#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/self_check.hpp"
#include "app/speed_file.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/build_info.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/host.hpp"
#include "memcap/base/log.hpp"
#include "memcap/config/experiment.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/models/shapes.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

/// A model to measure: a folder with weights, or a named shape.
struct Subject {
    std::string name;
    std::optional<hub::ModelConfig> shape;
    fs::path folder;
    models::Description description;
};

struct Request {
    std::vector<Subject> subjects;
    Workload workload;
    WorkerSetup setup;
    at::Device device = at::kCPU;
    std::int32_t threads = 1;
    bool as_json = false;
};

constexpr const char* kLegend =
    "N: tokens of a text; K: memory vectors; slots: trials side by side\n"
    "trial steps/s: forward and backward passes of one trial, all slots together\n"
    "speed: floating-point operations of these steps; of best, of middle: against the products above in the "
    "same precision, run in turns with the steps\n"
    "slot: memory of one trial\n";

[[noreturn]] void refuse(std::string what, std::string advice) {
    throw UsageError({.what = std::move(what), .where = {}, .why = {}, .advice = std::move(advice)});
}

CommandSyntax syntax() {
    CommandSyntax syntax{.usage = "memcap bench [MODEL_DIR...] [--shape NAME[,NAME...]] [options]",
                         .purpose =
                             "Measures what this device reaches in matrix products and copies, and what the "
                             "slots engine makes "
                             "of it on a model: trial steps per second, FLOP/s, their fraction of the best "
                             "product, and memory "
                             "per slot. The result is kept where memcap plan finds it.",
                         .options = po::options_description(),
                         .fewest_files = 0,
                         .most_files = SIZE_MAX};
    syntax.options.add_options()(
        "shape", po::value<std::string>(),
        fmt::format("published shapes with random weights, by name: {}; pythia-160m if there is no MODEL_DIR "
                    "either",
                    fmt::join(models::shape_names(), ", "))
            .c_str())("length", po::value<std::int32_t>()->default_value(128), "tokens of a text, N")(
        "memory-vectors", po::value<std::int32_t>()->default_value(1), "vectors before it, K")(
        "precision", po::value<std::string>(),
        "float32, bfloat16, float16 or tf32; float32 on a CPU and bfloat16 on a GPU unless given")(
        "slots", po::value<std::int32_t>(), "trials side by side; as many as memcap run takes unless given")(
        "threads", po::value<std::int32_t>(), "of a CPU; all cores unless given")(
        "device", po::value<std::string>()->default_value("auto"), "auto, cpu or cuda")(
        "seconds", po::value<double>()->default_value(5.0), "of timed steps for each model")("json",
                                                                                             "print JSON");
    return syntax;
}

/// Up to a limit that leaves room for sums, unless there is a stricter one.
template <class Value>
Value positive(const ParsedCommand& parsed, const char* option, Value highest = 1'000'000) {
    const auto value = parsed.values[option].as<Value>();
    // Written so that nan is refused.
    if (!(value > Value{0} && value <= highest)) {
        refuse(fmt::format("--{} {} is out of range", option, value),
               fmt::format("Give a number above 0, {} at most", highest));
    }
    return value;
}

std::optional<std::int32_t> positive_if_given(const ParsedCommand& parsed, const char* option,
                                              std::int32_t highest) {
    if (!parsed.has(option)) return std::nullopt;
    return positive<std::int32_t>(parsed, option, highest);
}

DeviceKind device_kind(const std::string& name) {
    if (name == "auto") return DeviceKind::automatic;
    if (name == "cpu") return DeviceKind::cpu;
    if (name == "cuda") return DeviceKind::cuda;
    refuse(fmt::format("there is no device '{}'", name), "Allowed: auto, cpu, cuda");
}

Precision precision_of(const ParsedCommand& parsed, at::Device device) {
    if (!parsed.has("precision")) return device.is_cpu() ? Precision::float32 : Precision::bfloat16;
    const auto precision = parse_precision(parsed.text("precision"));
    if (!precision) {
        refuse(fmt::format("there is no precision '{}'", parsed.text("precision")),
               "Allowed: float32, bfloat16, float16, tf32");
    }
    return *precision;
}

std::vector<std::string_view> parts(std::string_view text) {
    std::vector<std::string_view> found;
    for (std::size_t comma = 0; comma != std::string_view::npos;) {
        comma = text.find(',');
        found.push_back(text.substr(0, comma));
        if (comma != std::string_view::npos) text.remove_prefix(comma + 1);
    }
    return found;
}

Subject shape_named(std::string_view name) {
    auto config = models::shape_config(name);
    if (!config) {
        refuse(fmt::format("there is no shape '{}'", name),
               fmt::format("Allowed: {}", fmt::join(models::shape_names(), ", ")));
    }
    return {
        .name = std::string(name), .shape = config, .folder = {}, .description = models::describe(*config)};
}

std::vector<Subject> subjects_of(const ParsedCommand& parsed) {
    std::vector<Subject> subjects;
    for (const fs::path folder : parsed.files) {
        const fs::path whole = fs::absolute(folder).lexically_normal();
        subjects.push_back({.name = (whole.has_filename() ? whole : whole.parent_path()).filename().string(),
                            .shape = {},
                            .folder = folder,
                            .description = models::describe(folder)});
    }
    if (parsed.has("shape")) {
        for (const auto name : parts(parsed.values["shape"].as<std::string>()))
            subjects.push_back(shape_named(name));
    }
    if (subjects.empty()) subjects.push_back(shape_named("pythia-160m"));
    return subjects;
}

void check_length(const Subject& subject, const Workload& workload) {
    const std::int32_t positions = workload.memory_vectors + workload.length - 1;
    const std::int32_t context = subject.description.context_tokens;
    if (context > 0 && positions > context) {
        refuse(fmt::format("{} takes {} positions, and a trial has {}", subject.name, context, positions),
               "Give a smaller --length or --memory-vectors");
    }
    // A text of one token has nothing to score.
    if (workload.length < 2) refuse("--length 1 leaves nothing to score", "Give 2 or more");
}

Request read_request(const ParsedCommand& parsed) {
    Request request;
    request.device = device_of_rank(device_kind(parsed.text("device")), 0);
    request.threads = positive_if_given(parsed, "threads", config::kMostThreads).value_or(usable_cores());
    request.setup.slots = positive_if_given(parsed, "slots", config::kMostSlots);
    request.setup.keep_vectors = false;
    request.setup.curve_every = 0;
    request.workload.precision = precision_of(parsed, request.device);
    request.workload.length = positive<std::int32_t>(parsed, "length");
    request.workload.memory_vectors = positive<std::int32_t>(parsed, "memory-vectors");
    request.workload.measured_s = positive<double>(parsed, "seconds");
    request.as_json = parsed.has("json");
    request.subjects = subjects_of(parsed);
    for (const Subject& subject : request.subjects) check_length(subject, request.workload);
    return request;
}

/// The device itself: copies, and products in each precision.
plan::DeviceSpeed measure_device(const Request& request) {
    constexpr double kProducts_s = 0.3;
    plan::DeviceSpeed speed;
    speed.memcap_version = kVersion;
    speed.host = host_name();
    speed.kind = request.device.is_cpu() ? plan::Processor::cpu : plan::Processor::cuda;
    speed.device = device_kind_name(request.device, request.threads);
    speed.memory_bytes = device_memory_bytes(request.device);
    const CopySpeed copy = measure_copy(request.device);
    speed.best_copy_bytes_per_s = copy.best_bytes_per_s;
    speed.median_copy_bytes_per_s = copy.median_bytes_per_s;
    // Precisions that multiply alike share a measurement, so that estimates can be made for each.
    for (const Precision precision :
         {Precision::float32, Precision::bfloat16, Precision::float16, Precision::tf32}) {
        const auto same = std::ranges::find_if(speed.peaks, [&](const plan::MatrixPeak& peak) {
            return multiply_alike(peak.precision, precision, request.device);
        });
        if (same != speed.peaks.end()) {
            plan::MatrixPeak peak = *same;
            peak.precision = precision;
            speed.peaks.push_back(peak);
            continue;
        }
        MatrixProduct product(precision, request.device);
        product.run(kProducts_s);
        speed.peaks.push_back(product.peak());
    }
    return speed;
}

/// An operating system without memory to spare would end the process without a word.
void require_memory(const Subject& subject, const Request& request) {
    const plan::ValueWidths widths = value_widths(request.device);
    const std::int32_t slots = request.setup.slots.value_or(1);
    const std::int64_t needed = needed_bytes(subject.description, request.workload, slots, widths);
    const std::int64_t available = free_memory_bytes(request.device);
    if (needed < available) return;
    const std::int64_t weights = needed_bytes(subject.description, request.workload, 0, widths);
    const bool has_room = weights < available;
    throw DataError(
        subject.name,
        {.what = fmt::format("its weights in {} take {}, and {} slot{} of {} tokens {}",
                             to_string(request.workload.precision), bytes_text(weights), slots,
                             slots == 1 ? "" : "s", request.workload.length, bytes_text(needed - weights)),
         .where = {},
         .why = fmt::format("{} are free", bytes_text(available)),
         .advice = has_room ? "Give fewer --slots or a smaller --length"
                            : "Measure a smaller model, or use a device with more memory"});
}

plan::EngineSpeed measure(const Subject& subject, const Request& request) {
    Workload workload = request.workload;
    workload.name = subject.name;
    plan::EngineSpeed speed;
    release_cached_memory(request.device);
    within_memory(subject.name, [&] {
        const auto model = subject.shape
                               ? models::make_random(*subject.shape, workload.precision, request.device)
                               : models::load(subject.folder, workload.precision, request.device);
        speed = measure_engine(*model, workload, request.setup);
    });
    return speed;
}

void print_device(const plan::DeviceSpeed& speed, const Request& request) {
    fmt::print("{} on {}\n", speed.device, speed.host);
    fmt::print("copy                       {} at best, {} in the middle\n",
               scaled(speed.best_copy_bytes_per_s, "B/s"), scaled(speed.median_copy_bytes_per_s, "B/s"));
    for (const auto& peak : speed.peaks) {
        if (peak.precision != Precision::float32 && peak.precision != request.workload.precision) continue;
        fmt::print("{:<26} {} at best, {} in the middle ({} products)\n",
                   fmt::format("{} product of {}", to_string(peak.precision), peak.size),
                   scaled(peak.best_flops_per_s, "FLOP/s"), scaled(peak.median_flops_per_s, "FLOP/s"),
                   peak.products);
    }
    fmt::print("\n{:<16} {:<9} {:>5} {:>4} {:>6} {:>14} {:>14} {:>8} {:>10} {:>10}\n", "model", "precision",
               "N", "K", "slots", "trial steps/s", "speed", "of best", "of middle", "slot");
    // The rest takes its time.
    std::fflush(stdout);
}

void print_engine(const plan::EngineSpeed& engine) {
    fmt::print("{:<16} {:<9} {:>5} {:>4} {:>6} {:>14.5g} {:>14} {:>7.1f}% {:>9.1f}% {:>10}\n", engine.name,
               to_string(engine.precision), engine.length, engine.memory_vectors, engine.slots,
               engine.trial_steps_per_s(), scaled(engine.flops_per_s(), "FLOP/s"),
               100.0 * engine.fraction_of_peak(), 100.0 * engine.fraction_of_median(),
               scaled(engine.slot_bytes, "B"));
    std::fflush(stdout);
}

/// Keeps what is there so far for memcap plan. A result that cannot be kept is still a result.
void keep(const plan::DeviceSpeed& speed, bool is_last) {
    const auto folder = speed_folder();
    std::string problem = "neither XDG_CACHE_HOME nor HOME names a folder";
    if (folder) {
        try {
            const fs::path file = store_speed(*folder, speed);
            if (is_last) log::info(fmt::format("kept for memcap plan in {}", file.string()));
            return;
        } catch (const StoreError& error) {
            problem = error.what();
        }
    }
    if (is_last) log::warning(fmt::format("not kept for memcap plan: {}", problem));
}

}  // namespace

int bench_device(const Arguments& arguments) {
    const auto parsed = parse_options(syntax(), arguments);
    if (!parsed) return kDone;
    const Request request = read_request(*parsed);
    for (const Subject& subject : request.subjects) require_memory(subject, request);
    tell_left_out_variables();
    set_threads(request.threads);
    check_this_process(request.device);
    plan::DeviceSpeed speed = measure_device(request);
    if (!request.as_json) print_device(speed, request);
    for (const Subject& subject : request.subjects) {
        speed.engines.push_back(measure(subject, request));
        if (!request.as_json) print_engine(speed.engines.back());
        keep(speed, &subject == &request.subjects.back());
    }
    if (request.as_json) {
        fmt::print("{}", to_json_text(speed));
    } else {
        fmt::print("\n{}", kLegend);
    }
    return kDone;
}

}  // namespace memcap::app
