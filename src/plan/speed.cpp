// Nearness of measurements, and estimates from them.
#include "memcap/plan/speed.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace memcap::plan {

namespace {

const MatrixPeak* peak_in(const DeviceSpeed& device, Precision precision) {
    const auto found = std::ranges::find(device.peaks, precision, &MatrixPeak::precision);
    return found == device.peaks.end() ? nullptr : &*found;
}

/// 0 where the device was not measured in the precision asked for.
double estimated_flops_per_s(const DeviceSpeed& device, const EngineSpeed& engine, Precision precision) {
    if (engine.precision == precision) return engine.flops_per_s();
    const MatrixPeak* peak = peak_in(device, precision);
    return peak != nullptr ? engine.fraction_of_peak() * peak->best_flops_per_s : 0.0;
}

bool is_same_measurement(const EngineSpeed& a, const EngineSpeed& b) {
    const auto key = [](const EngineSpeed& engine) {
        return std::tuple(engine.name, engine.precision, engine.length, engine.memory_vectors,
                          engine.wished_slots());
    };
    return key(a) == key(b);
}

}  // namespace

std::string_view to_string(Processor kind) {
    return kind == Processor::cuda ? "cuda" : "cpu";
}

ValueWidths value_widths(const DeviceSpeed& device) {
    const auto bytes = [&device](Precision precision) -> std::int64_t {
        const MatrixPeak* peak = peak_in(device, precision);
        if (peak != nullptr && peak->value_bytes > 0) return peak->value_bytes;
        constexpr auto kFloatBytes = static_cast<std::int64_t>(sizeof(float));
        return device.kind == Processor::cuda ? ValueWidths{}.bytes(precision) : kFloatBytes;
    };
    return {.bfloat16_bytes = bytes(Precision::bfloat16), .float16_bytes = bytes(Precision::float16)};
}

void merge(DeviceSpeed& all, const DeviceSpeed& newer) {
    DeviceSpeed merged = newer;
    for (const MatrixPeak& peak : all.peaks) {
        if (peak_in(newer, peak.precision) == nullptr) merged.peaks.push_back(peak);
    }
    for (const EngineSpeed& engine : all.engines) {
        const bool is_replaced = std::ranges::any_of(
            newer.engines, [&](const EngineSpeed& other) { return is_same_measurement(engine, other); });
        if (!is_replaced) merged.engines.push_back(engine);
    }
    all = std::move(merged);
}

bool has_slots(const EngineSpeed& measured, std::int32_t wished) {
    return wished == 0 ? !measured.slots_given : measured.slots == wished;
}

bool any_has_slots(std::span<const DeviceSpeed> devices, std::int32_t wished) {
    return std::ranges::any_of(devices, [wished](const DeviceSpeed& device) {
        return std::ranges::any_of(device.engines,
                                   [wished](const EngineSpeed& engine) { return has_slots(engine, wished); });
    });
}

double distance(const EngineSpeed& measured, const SpeedQuestion& question) {
    constexpr double kOtherFamily = 1.0;
    constexpr double kOtherPrecision = 3.0;
    constexpr double kOtherKind = 6.0;
    double octaves = std::abs(std::log2(measured.flops_per_step / question.flops_per_step));
    if (measured.family != question.family) octaves += kOtherFamily;
    if (measured.precision != question.precision) octaves += kOtherPrecision;
    if (measured.scans != question.scans) octaves += kOtherKind;
    return octaves;
}

std::optional<SpeedEstimate> estimate_speed(std::span<const DeviceSpeed> devices,
                                            const SpeedQuestion& question) {
    std::optional<SpeedEstimate> best;
    for (const DeviceSpeed& device : devices) {
        for (const EngineSpeed& engine : device.engines) {
            if (!has_slots(engine, question.slots)) continue;
            const double flops_per_s = estimated_flops_per_s(device, engine, question.precision);
            if (!(flops_per_s > 0.0)) continue;
            const double octaves = distance(engine, question);
            const bool is_better =
                !best || octaves < best->distance ||
                (octaves == best->distance && engine.measured_utc > best->basis.measured_utc);
            if (is_better) best = {1.0 / flops_per_s, engine, octaves};
        }
    }
    return best;
}

}  // namespace memcap::plan
