// Names of the protocol's choices, and its learning-rate schedule.
#include "memcap/base/protocol.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "memcap/base/contracts.hpp"

namespace memcap {

namespace {

constexpr std::array<std::string_view, 4> kPrecisions{"float32", "bfloat16", "float16", "tf32"};
constexpr std::array<std::string_view, 3> kSchedules{"constant", "cosine", "linear"};
constexpr std::array<std::string_view, 2> kTargets{"after_first", "all"};
constexpr std::array<std::string_view, 1> kOptimisers{"adamw"};
constexpr std::array<std::string_view, 1> kInits{"normal"};
constexpr std::array<std::string_view, 2> kRateUnits{"absolute", "embedding_std"};

template <class Enum>
std::string_view name_of(Enum value) {
    const auto names = names_of(value);
    const auto place = static_cast<std::size_t>(value);
    return place < names.size() ? names[place] : "unknown";
}

template <class Enum>
std::optional<Enum> value_of(std::string_view text) {
    const auto names = names_of(Enum{});
    const auto found = std::ranges::find(names, text);
    if (found == names.end()) return std::nullopt;
    return static_cast<Enum>(found - names.begin());
}

}  // namespace

std::span<const std::string_view> names_of(Precision) {
    return kPrecisions;
}
std::span<const std::string_view> names_of(Schedule) {
    return kSchedules;
}
std::span<const std::string_view> names_of(Target) {
    return kTargets;
}
std::span<const std::string_view> names_of(OptimiserKind) {
    return kOptimisers;
}
std::span<const std::string_view> names_of(InitKind) {
    return kInits;
}
std::span<const std::string_view> names_of(RateUnit) {
    return kRateUnits;
}
std::string_view to_string(Precision value) {
    return name_of(value);
}
std::string_view to_string(Schedule value) {
    return name_of(value);
}
std::string_view to_string(Target value) {
    return name_of(value);
}
std::string_view to_string(OptimiserKind value) {
    return name_of(value);
}
std::string_view to_string(RateUnit value) {
    return name_of(value);
}
std::string_view to_string(InitKind value) {
    return name_of(value);
}
std::optional<Precision> parse_precision(std::string_view text) {
    return value_of<Precision>(text);
}
std::optional<Schedule> parse_schedule(std::string_view text) {
    return value_of<Schedule>(text);
}
std::optional<Target> parse_target(std::string_view text) {
    return value_of<Target>(text);
}
std::optional<OptimiserKind> parse_optimiser(std::string_view text) {
    return value_of<OptimiserKind>(text);
}
std::optional<InitKind> parse_init(std::string_view text) {
    return value_of<InitKind>(text);
}

double learning_rate_at(const Protocol& protocol, std::int32_t step) {
    MEMCAP_EXPECT(step >= 1);
    if (step <= protocol.warmup_steps) return protocol.learning_rate * step / protocol.warmup_steps;
    if (protocol.schedule == Schedule::constant) return protocol.learning_rate;
    const double progress = static_cast<double>(step - protocol.warmup_steps) /
                            static_cast<double>(protocol.max_steps - protocol.warmup_steps);
    if (protocol.schedule == Schedule::linear) return protocol.learning_rate * (1.0 - progress);
    return protocol.learning_rate * (1.0 + std::cos(std::numbers::pi * progress)) / 2.0;
}

std::int32_t scored_tokens(Target target, std::int32_t length) {
    return target == Target::all ? length : length - 1;
}

}  // namespace memcap
