// Measured speeds as JSON. The names of its keys are part of the output of memcap bench --json.
#include "app/speed_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "app/device_speed.hpp"
#include "memcap/base/build_info.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFormat = "memcap bench";
constexpr int kSchemaVersion = 1;

json peak_json(const plan::MatrixPeak& peak) {
    return {{"precision", to_string(peak.precision)},
            {"size", peak.size},
            {"products", peak.products},
            {"value_bytes", peak.value_bytes},
            {"best_flops_per_s", peak.best_flops_per_s},
            {"median_flops_per_s", peak.median_flops_per_s}};
}

json engine_json(const plan::EngineSpeed& engine) {
    json turns = json::array();
    for (const auto& turn : engine.turns)
        turns.push_back({{"peak_flops_per_s", turn.peak_flops_per_s}, {"flops_per_s", turn.flops_per_s}});
    return {{"name", engine.name},
            {"family", engine.family},
            {"scans", engine.scans},
            {"precision", to_string(engine.precision)},
            {"length", engine.length},
            {"memory_vectors", engine.memory_vectors},
            {"slots", engine.slots},
            {"slots_given", engine.slots_given},
            {"flops_per_step", engine.flops_per_step},
            {"trial_steps", engine.trial_steps},
            {"elapsed_s", engine.elapsed_s},
            {"trial_steps_per_s", engine.trial_steps_per_s()},
            {"flops_per_s", engine.flops_per_s()},
            {"fraction_of_peak", engine.fraction_of_peak()},
            {"fraction_of_median", engine.fraction_of_median()},
            {"slot_bytes", engine.slot_bytes},
            {"measured_utc", engine.measured_utc},
            {"peak", peak_json(engine.peak)},
            {"turns", turns}};
}

/// Reads the values of one object, which must outlive it; every defect is a DataError of the file.
class Reader {
  public:
    Reader(const fs::path& file, const json& object) : file_(file), object_(object) {
        if (!object.is_object()) fail("it is damaged, or not JSON");
    }

    [[noreturn]] void fail(std::string why) const {
        throw DataError(file_,
                        {.what = "this is no usable result of memcap bench",
                         .where = {},
                         .why = std::move(why),
                         .advice = "Name a file that `memcap bench --json` wrote; those that plan finds by "
                                   "itself are made anew by memcap bench"});
    }

    std::string text(const char* key) const {
        const json& value = require(key);
        if (!value.is_string()) fail(fmt::format("'{}' is not a text", key));
        return value.get<std::string>();
    }

    /// A finite number from zero on.
    double number(const char* key) const {
        const json& value = require(key);
        if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < 0.0)
            fail(fmt::format("'{}' is no amount", key));
        return value.get<double>();
    }

    /// A number above zero.
    double amount(const char* key) const {
        if (number(key) == 0.0) fail(fmt::format("'{}' is zero", key));
        return number(key);
    }

    /// A positive integer below 2^31.
    std::int32_t count(const char* key) const {
        const double value = amount(key);
        if (value != std::floor(value) || value > INT32_MAX) fail(fmt::format("'{}' is not a count", key));
        return static_cast<std::int32_t>(value);
    }

    bool flag(const char* key) const {
        const json& value = require(key);
        if (!value.is_boolean()) fail(fmt::format("'{}' is neither true nor false", key));
        return value.get<bool>();
    }

    bool has(const char* key) const { return object_.contains(key); }

    Precision precision() const {
        const auto value = parse_precision(text("precision"));
        if (!value) fail(fmt::format("'{}' is no precision", text("precision")));
        return *value;
    }

    Reader object(const char* key) const { return {file_, require(key)}; }

    std::vector<Reader> list(const char* key) const {
        const json& values = require(key);
        if (!values.is_array()) fail(fmt::format("'{}' is not a list", key));
        std::vector<Reader> readers;
        for (const json& value : values) readers.emplace_back(file_, value);
        return readers;
    }

  private:
    const json& require(const char* key) const {
        const auto found = object_.find(key);
        if (found == object_.end()) fail(fmt::format("'{}' is missing", key));
        return *found;
    }

    const fs::path& file_;
    const json& object_;
};

plan::MatrixPeak read_peak(const Reader& reader) {
    return {.precision = reader.precision(),
            .size = reader.count("size"),
            .products = reader.count("products"),
            .value_bytes = reader.has("value_bytes") ? reader.count("value_bytes") : 0,
            .best_flops_per_s = reader.amount("best_flops_per_s"),
            .median_flops_per_s = reader.amount("median_flops_per_s")};
}

plan::EngineSpeed read_engine(const Reader& reader) {
    plan::EngineSpeed engine;
    engine.name = reader.text("name");
    engine.family = reader.text("family");
    engine.scans = reader.flag("scans");
    engine.precision = reader.precision();
    engine.length = reader.count("length");
    engine.memory_vectors = reader.count("memory_vectors");
    engine.slots = reader.count("slots");
    // Older files do not tell.
    engine.slots_given = reader.has("slots_given") && reader.flag("slots_given");
    engine.flops_per_step = reader.amount("flops_per_step");
    engine.trial_steps = reader.amount("trial_steps");
    engine.elapsed_s = reader.amount("elapsed_s");
    engine.slot_bytes = reader.number("slot_bytes");
    engine.measured_utc = reader.text("measured_utc");
    engine.peak = read_peak(reader.object("peak"));
    for (const Reader& turn : reader.list("turns"))
        engine.turns.push_back({turn.amount("peak_flops_per_s"), turn.amount("flops_per_s")});
    return engine;
}

/// Older files tell the kind of their device by the size of its products alone.
plan::Processor read_kind(const Reader& reader, const std::vector<plan::MatrixPeak>& peaks) {
    if (!reader.has("kind")) {
        const bool is_gpu = std::ranges::any_of(
            peaks, [](const plan::MatrixPeak& peak) { return peak.size >= kGpuProductRows; });
        return is_gpu ? plan::Processor::cuda : plan::Processor::cpu;
    }
    for (const auto kind : {plan::Processor::cpu, plan::Processor::cuda}) {
        if (reader.text("kind") == to_string(kind)) return kind;
    }
    reader.fail(fmt::format("'{}' is no kind of device", reader.text("kind")));
}

/// Words joined by hyphens, as a part of a file's name.
std::string file_name_part(const std::string& text) {
    std::string part;
    for (const char letter : text) {
        const bool plain = std::isalnum(static_cast<unsigned char>(letter)) != 0;
        if (plain) {
            part += letter;
        } else if (!part.empty() && part.back() != '-') {
            part += '-';
        }
    }
    return part;
}

}  // namespace

std::optional<fs::path> speed_folder() {
    // The specification has relative paths ignored.
    const auto absolute = [](const char* variable) -> std::optional<fs::path> {
        const char* value = std::getenv(variable);
        if (value == nullptr || !fs::path(value).is_absolute()) return std::nullopt;
        return fs::path(value);
    };
    if (const auto cache = absolute("XDG_CACHE_HOME")) return *cache / "memcap" / "bench";
    if (const auto home = absolute("HOME")) return *home / ".cache" / "memcap" / "bench";
    return std::nullopt;
}

fs::path speed_file(const fs::path& folder, const plan::DeviceSpeed& speed) {
    return folder / fmt::format("{}.{}.json", file_name_part(speed.host), file_name_part(speed.device));
}

std::string to_json_text(const plan::DeviceSpeed& speed) {
    json peaks = json::array();
    for (const auto& peak : speed.peaks) peaks.push_back(peak_json(peak));
    json engines = json::array();
    for (const auto& engine : speed.engines) engines.push_back(engine_json(engine));
    const json document = {{"format", kFormat},
                           {"schema_version", kSchemaVersion},
                           {"memcap_version", speed.memcap_version},
                           {"host", speed.host},
                           {"kind", to_string(speed.kind)},
                           {"device", speed.device},
                           {"memory_bytes", speed.memory_bytes},
                           {"copy",
                            {{"best_bytes_per_s", speed.best_copy_bytes_per_s},
                             {"median_bytes_per_s", speed.median_copy_bytes_per_s}}},
                           {"peaks", peaks},
                           {"models", engines}};
    // The name of a model's folder need not be UTF-8.
    return document.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

plan::DeviceSpeed read_speed_file(const fs::path& file) {
    constexpr std::uintmax_t kMostBytes = 10'000'000;
    std::error_code problem;
    const bool too_long = fs::file_size(file, problem) > kMostBytes && !problem;
    const json document = too_long ? json() : json::parse(read_text_file(file), nullptr, false);
    const Reader reader(file, document);
    if (reader.text("format") != kFormat || reader.count("schema_version") != kSchemaVersion)
        reader.fail("another program or version wrote it");
    plan::DeviceSpeed speed;
    speed.memcap_version = reader.text("memcap_version");
    if (speed.memcap_version != kVersion)
        reader.fail(fmt::format("memcap {} was measured, and this is {}", speed.memcap_version, kVersion));
    speed.host = reader.text("host");
    speed.device = reader.text("device");
    speed.memory_bytes = static_cast<std::int64_t>(reader.amount("memory_bytes"));
    const Reader copy = reader.object("copy");
    speed.best_copy_bytes_per_s = copy.amount("best_bytes_per_s");
    speed.median_copy_bytes_per_s = copy.amount("median_bytes_per_s");
    for (const Reader& peak : reader.list("peaks")) speed.peaks.push_back(read_peak(peak));
    speed.kind = read_kind(reader, speed.peaks);
    for (const Reader& engine : reader.list("models")) speed.engines.push_back(read_engine(engine));
    return speed;
}

fs::path store_speed(const fs::path& folder, const plan::DeviceSpeed& speed) {
    fs::path file = speed_file(folder, speed);
    std::error_code problem;
    fs::create_directories(folder, problem);
    plan::DeviceSpeed all = speed;
    if (fs::exists(file, problem)) {
        try {
            all = read_speed_file(file);
            plan::merge(all, speed);
        } catch (const DataError& error) {
            log::warning(fmt::format("{}; it is replaced", error.what()));
        }
    }
    write_file_atomically(file, to_json_text(all));
    return file;
}

std::vector<plan::DeviceSpeed> stored_speeds(const fs::path& folder, const std::string& device) {
    std::vector<fs::path> files;
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(folder, problem)) {
        if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    std::vector<plan::DeviceSpeed> speeds;
    for (const fs::path& file : files) {
        try {
            plan::DeviceSpeed speed = read_speed_file(file);
            if (speed.device == device && !speed.engines.empty()) speeds.push_back(std::move(speed));
        } catch (const DataError& error) {
            log::warning(fmt::format("ignored: {}", error.what()));
        }
    }
    return speeds;
}

}  // namespace memcap::app
