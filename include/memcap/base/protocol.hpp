// The values that decide a trial's result beside its model and text: protocol and precision.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace memcap {

/// In what the frozen model computes; memory, optimiser, norms, softmax and loss are float32 in each of them.
enum class Precision : std::uint8_t { float32, bfloat16, float16, tf32 };
enum class Schedule : std::uint8_t { constant, cosine, linear };
/// Which tokens are scored: from tok_2 on (the paper), or all of them.
enum class Target : std::uint8_t { after_first, all };
enum class OptimiserKind : std::uint8_t { adamw };
enum class InitKind : std::uint8_t { normal };
/// What a learning rate is counted in: as it is, or in standard deviations of the input embeddings, so that
/// one rate serves models of different scale.
enum class RateUnit : std::uint8_t { absolute, embedding_std };

/// The names of an enumeration's values, in their order.
std::span<const std::string_view> names_of(Precision);
std::span<const std::string_view> names_of(Schedule);
std::span<const std::string_view> names_of(Target);
std::span<const std::string_view> names_of(OptimiserKind);
std::span<const std::string_view> names_of(InitKind);
std::span<const std::string_view> names_of(RateUnit);

std::string_view to_string(Precision value);
std::string_view to_string(Schedule value);
std::string_view to_string(Target value);
std::string_view to_string(OptimiserKind value);
std::string_view to_string(InitKind value);
std::string_view to_string(RateUnit value);
std::optional<Precision> parse_precision(std::string_view text);
std::optional<Schedule> parse_schedule(std::string_view text);
std::optional<Target> parse_target(std::string_view text);
std::optional<OptimiserKind> parse_optimiser(std::string_view text);
std::optional<InitKind> parse_init(std::string_view text);

/// How memory vectors are optimised; the defaults are the paper's (arXiv 2502.13063, section 4 and its code).
struct Protocol {
    OptimiserKind optimiser = OptimiserKind::adamw;
    double learning_rate = 0.01;
    double beta1 = 0.9;
    double beta2 = 0.9;
    double weight_decay = 0.01;
    double epsilon = 1e-8;
    std::int32_t max_steps = 5000;  ///< counts evaluations (forward passes), from 1
    std::int32_t patience = 2000;   ///< stop when evaluation - best_evaluation reaches it
    double stop_accuracy = 1.0;     ///< stop at the first evaluation that reaches it
    Schedule schedule = Schedule::constant;
    std::int32_t warmup_steps = 0;
    Target target = Target::after_first;
    InitKind init = InitKind::normal;
    double init_scale = 1.0;  ///< in units of the standard deviation of the input embeddings
    RateUnit rate_unit = RateUnit::absolute;
    /// T of the cross-entropy of logits / T whose gradient moves the memory, not compensated by T squared
    /// (Progressive Cramming, ICML 2026); what is recorded is that of the logits themselves.
    double loss_temperature = 1.0;

    bool operator==(const Protocol&) const = default;
};

/// The learning rate of update `step` (from 1): learning_rate * step / warmup_steps up to the end of the
/// warm-up, then learning_rate * f(p) with p = (step - warmup_steps) / (max_steps - warmup_steps).
double learning_rate_at(const Protocol& protocol, std::int32_t step);

/// Tokens that are scored in a text of `length` tokens.
std::int32_t scored_tokens(Target target, std::int32_t length);

}  // namespace memcap
