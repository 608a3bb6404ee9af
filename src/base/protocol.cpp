// Names of the protocol's choices, and its learning-rate schedule.
#include "memcap/base/protocol.hpp"

#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "memcap/base/contracts.hpp"

namespace memcap {

namespace {

template <class Enum, std::size_t kCount>
using Names = std::array<std::pair<Enum, std::string_view>, kCount>;

constexpr Names<Precision, 4> kPrecisions{{{Precision::float32, "float32"},
                                           {Precision::bfloat16, "bfloat16"},
                                           {Precision::float16, "float16"},
                                           {Precision::tf32, "tf32"}}};
constexpr Names<Schedule, 3> kSchedules{
    {{Schedule::constant, "constant"}, {Schedule::cosine, "cosine"}, {Schedule::linear, "linear"}}};
constexpr Names<Target, 2> kTargets{{{Target::after_first, "after_first"}, {Target::all, "all"}}};
constexpr Names<OptimiserKind, 1> kOptimisers{{{OptimiserKind::adamw, "adamw"}}};
constexpr Names<InitKind, 1> kInits{{{InitKind::normal, "normal"}}};

template <class Enum, std::size_t kCount>
std::string_view name_of(const Names<Enum, kCount>& names, Enum value) {
    for (const auto& [candidate, name] : names) {
        if (candidate == value) return name;
    }
    return "unknown";
}

template <class Enum, std::size_t kCount>
std::optional<Enum> value_of(const Names<Enum, kCount>& names, std::string_view text) {
    for (const auto& [value, name] : names) {
        if (name == text) return value;
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(Precision value) {
    return name_of(kPrecisions, value);
}
std::string_view to_string(Schedule value) {
    return name_of(kSchedules, value);
}
std::string_view to_string(Target value) {
    return name_of(kTargets, value);
}
std::string_view to_string(OptimiserKind value) {
    return name_of(kOptimisers, value);
}
std::string_view to_string(InitKind value) {
    return name_of(kInits, value);
}
std::optional<Precision> parse_precision(std::string_view text) {
    return value_of(kPrecisions, text);
}
std::optional<Schedule> parse_schedule(std::string_view text) {
    return value_of(kSchedules, text);
}
std::optional<Target> parse_target(std::string_view text) {
    return value_of(kTargets, text);
}
std::optional<OptimiserKind> parse_optimiser(std::string_view text) {
    return value_of(kOptimisers, text);
}
std::optional<InitKind> parse_init(std::string_view text) {
    return value_of(kInits, text);
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
