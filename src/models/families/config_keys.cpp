// Shared keys of config.json.
#include "models/families/config_keys.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ranges>
#include <utility>

namespace memcap::models::families {

std::vector<std::string_view> with_size_keys(std::vector<std::string_view> others) {
    for (const std::string_view key :
         {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "num_key_value_heads", "head_dim", "max_position_embeddings", "original_max_position_embeddings",
          "rope_theta", "rope_scaling", "rope_parameters", "tie_word_embeddings"}) {
        others.push_back(key);
    }
    return others;
}

Sizes read_sizes(const hub::ModelConfig& config, const Sizes& defaults) {
    Sizes sizes{};
    sizes.vocab_size = config.size("vocab_size", defaults.vocab_size);
    sizes.hidden_size = config.size("hidden_size", defaults.hidden_size);
    sizes.intermediate_size = config.size("intermediate_size", defaults.intermediate_size);
    sizes.num_hidden_layers = config.size("num_hidden_layers", defaults.num_hidden_layers);
    sizes.num_attention_heads = config.size("num_attention_heads", defaults.num_attention_heads);
    sizes.max_position_embeddings = config.size("max_position_embeddings", defaults.max_position_embeddings);
    const std::int32_t heads = sizes.num_attention_heads;
    sizes.num_key_value_heads = config.size(
        "num_key_value_heads", defaults.num_key_value_heads == 0 ? heads : defaults.num_key_value_heads);
    if (heads % sizes.num_key_value_heads != 0)
        config.reject("num_key_value_heads", "it does not divide num_attention_heads");
    const bool divided = !config.has("head_dim") && defaults.head_dim == 0;
    if (divided && sizes.hidden_size % heads != 0)
        config.reject("num_attention_heads", "it does not divide hidden_size, and there is no head_dim");
    sizes.head_dim = config.size("head_dim", divided ? sizes.hidden_size / heads : defaults.head_dim);
    return sizes;
}

namespace {

double positive(const hub::ModelConfig& scaling, std::string_view key, double found) {
    if (!(found > 0.0)) scaling.reject(key, fmt::format("{} is not a positive number", found));
    return found;
}

double positive(const hub::ModelConfig& scaling, std::string_view key) {
    return positive(scaling, key, scaling.number(key));
}

std::int32_t extended(std::int32_t tokens, double factor) {
    return static_cast<std::int32_t>(std::min(tokens * factor, static_cast<double>(INT32_MAX)));
}

/// How many times as long as the original context the present one is.
double stretch(const nn::RotaryConfig& rotary, std::int32_t original) {
    return static_cast<double>(rotary.context_tokens) / original;
}

/// Attention is sharpened by the logarithm of the factor (transformers modeling_rope_utils.py, get_mscale).
double sharpened(double factor, double weight) {
    return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

void read_yarn(const hub::ModelConfig& scaling, std::int32_t original, nn::RotaryConfig& rotary) {
    const double factor = positive(
        scaling, "factor", scaling.has("factor") ? scaling.number("factor") : stretch(rotary, original));
    const auto or_default = [&](std::string_view key, double otherwise) {
        const double found = scaling.number(key, otherwise);
        return found == 0.0 ? otherwise : positive(scaling, key, found);
    };
    rotary.yarn = nn::YarnScaling{.factor = factor,
                                  .fast_turns = or_default("beta_fast", 32.0),
                                  .slow_turns = or_default("beta_slow", 1.0),
                                  .whole_pairs = scaling.boolean("truncate", true),
                                  .original_context_tokens = static_cast<double>(original)};
    const double weight = scaling.number("mscale", 0.0);
    const double weight_of_all = scaling.number("mscale_all_dim", 0.0);
    const bool weighted = weight != 0.0 && weight_of_all != 0.0;
    rotary.attention_factor =
        positive(scaling, "attention_factor",
                 scaling.number("attention_factor",
                                weighted ? sharpened(factor, weight) / sharpened(factor, weight_of_all)
                                         : sharpened(factor, 1.0)));
    rotary.context_tokens = std::max(rotary.context_tokens, extended(original, factor));
}

void read_longrope(const hub::ModelConfig& scaling, std::int32_t original, nn::RotaryConfig& rotary) {
    const auto factors = [&](std::string_view key) {
        auto found = scaling.numbers(key);
        if (found.size() != static_cast<std::size_t>(rotary.head_width) / 2) {
            scaling.reject(key, fmt::format("it has {} factors for {} rotating pairs of a head", found.size(),
                                            rotary.head_width / 2));
        }
        for (const double factor : found) positive(scaling, key, factor);
        return found;
    };
    rotary.longrope = nn::LongRopeScaling{.short_factors = factors("short_factor"),
                                          .long_factors = factors("long_factor"),
                                          .original_context_tokens = original};
    const double factor = scaling.number("factor", stretch(rotary, original));
    const double usual =
        factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(static_cast<double>(original)));
    rotary.attention_factor =
        positive(scaling, "attention_factor", scaling.number("attention_factor", usual));
}

void read_dynamic(const hub::ModelConfig& scaling, std::int32_t /*original*/, nn::RotaryConfig& rotary) {
    const double factor = positive(scaling, "factor");
    if (rotary.head_width <= 2) scaling.reject("rope_type", "'dynamic' needs more than one rotating pair");
    // Here transformers always takes the context for the original one.
    rotary.dynamic = nn::DynamicScaling{.factor = factor, .original_context_tokens = rotary.context_tokens};
    rotary.context_tokens = std::max(rotary.context_tokens, extended(rotary.context_tokens, factor));
}

void read_linear(const hub::ModelConfig& scaling, std::int32_t /*original*/, nn::RotaryConfig& rotary) {
    rotary.linear_factor = positive(scaling, "factor");
}

void read_llama3(const hub::ModelConfig& scaling, std::int32_t original, nn::RotaryConfig& rotary) {
    rotary.llama3 = nn::Llama3Scaling{.factor = positive(scaling, "factor"),
                                      .low_frequency_factor = scaling.number("low_freq_factor"),
                                      .high_frequency_factor = scaling.number("high_freq_factor"),
                                      .original_context_tokens = static_cast<double>(original)};
}

void read_nothing(const hub::ModelConfig& /*scaling*/, std::int32_t /*original*/,
                  nn::RotaryConfig& /*rotary*/) {}

struct ScalingKind {
    std::string_view type;
    void (*read)(const hub::ModelConfig& scaling, std::int32_t original, nn::RotaryConfig& rotary);
};

constexpr std::array kScalingKinds{
    ScalingKind{"default", read_nothing},   ScalingKind{"linear", read_linear},
    ScalingKind{"dynamic", read_dynamic},   ScalingKind{"yarn", read_yarn},
    ScalingKind{"longrope", read_longrope}, ScalingKind{"llama3", read_llama3}};

/// The type of a scaling; written as `type` until 2024.
std::string scaling_type(const hub::ModelConfig& scaling) {
    return scaling.text("rope_type", scaling.text("type", "default"));
}

const ScalingKind& kind_of(const hub::ModelConfig& scaling, std::string_view type) {
    const auto* kind = std::ranges::find(kScalingKinds, type, &ScalingKind::type);
    if (kind != kScalingKinds.end()) return *kind;
    scaling.reject(scaling.has("rope_type") ? "rope_type" : "type",
                   fmt::format("'{}' is not supported: memcap has {}", type,
                               fmt::join(kScalingKinds | std::views::transform(&ScalingKind::type), ", ")));
}

void read_scaling(const hub::ModelConfig& scaling, const ScalingKind& kind, std::int32_t original_tokens,
                  nn::RotaryConfig& rotary) {
    scaling.allow_only({"rope_type", "type", "rope_theta", "partial_rotary_factor", "factor",
                        "original_max_position_embeddings", "low_freq_factor", "high_freq_factor",
                        "short_factor", "long_factor", "attention_factor", "beta_fast", "beta_slow", "mscale",
                        "mscale_all_dim", "truncate"});
    rotary.theta = scaling.number("rope_theta", rotary.theta);
    const std::int32_t inside = scaling.size("original_max_position_embeddings", rotary.context_tokens);
    kind.read(scaling, original_tokens > 0 ? original_tokens : inside, rotary);
}

}  // namespace

void read_layer_scaling(const hub::ModelConfig& config, std::string_view key, nn::RotaryConfig& rotary) {
    const auto scaling = config.object(key);
    if (!scaling) return;
    const ScalingKind& kind = kind_of(*scaling, scaling_type(*scaling));
    if (scaling->number("partial_rotary_factor", 1.0) != 1.0)
        scaling->reject("partial_rotary_factor", "whole heads rotate in this family");
    read_scaling(*scaling, kind, 0, rotary);
    // transformers 5 looks for `truncate` outside of the objects by type of layer, where nobody writes it.
    if (rotary.yarn) rotary.yarn->whole_pairs = true;
}

void reject_rotation_by_length(const hub::ModelConfig& config, std::string_view key,
                               const nn::RotaryConfig& rotary) {
    if (rotary.common_tokens())
        config.reject(key, "memcap has a rotation by the length of the input in layers of one type only");
}

namespace {

/// Elements of a head that rotate when this share of it does.
std::int32_t rotated_width(const hub::ModelConfig& config, std::int32_t head_dim, double share,
                           std::string_view key) {
    if (!(share > 0.0 && share <= 1.0)) config.reject(key, fmt::format("{} is not a share of a head", share));
    const auto width = static_cast<std::int32_t>(head_dim * share);
    if (width < 2 || width % 2 != 0) {
        config.reject(
            share < 1.0              ? key
            : config.has("head_dim") ? "head_dim"
                                     : "num_attention_heads",
            fmt::format("rotary embedding needs an even width, and {} of {} elements of a head rotate", width,
                        head_dim));
    }
    return width;
}

}  // namespace

nn::RotaryConfig plain_rotary(const Sizes& sizes, double theta) {
    return {.head_width = sizes.head_dim,
            .theta = theta,
            .linear_factor = 1.0,
            .llama3 = {},
            .context_tokens = sizes.max_position_embeddings};
}

nn::RotaryConfig read_rotary(const hub::ModelConfig& config, const Sizes& sizes, const RotaryKeys& keys) {
    nn::RotaryConfig rotary = plain_rotary(sizes, config.number(keys.theta, keys.default_theta));
    const bool whole = keys.share.empty();
    double share = whole ? 1.0 : config.number(keys.share, keys.default_share);
    // transformers 5 lets rope_scaling win where a file has both.
    auto scaling = config.object("rope_scaling");
    if (!scaling || scaling->keys().empty()) scaling = config.object("rope_parameters");
    // A type that memcap lacks is to be named before anything else about it.
    const ScalingKind* kind = nullptr;
    if (scaling) {
        const std::string type = scaling_type(*scaling);
        const bool phi3 = keys.longrope_original_tokens > 0;
        kind = &kind_of(*scaling, phi3 && (type == "su" || type == "yarn") ? "longrope" : type);
        if (phi3 && kind->type != "default" && kind->type != "longrope")
            scaling->reject("rope_type", fmt::format("'{}' is no scaling of this family", type));
        share = scaling->number("partial_rotary_factor", share);
        if (whole && share != 1.0)
            scaling->reject("partial_rotary_factor", "whole heads rotate in this family");
    }
    rotary.head_width = rotated_width(config, sizes.head_dim, share, keys.share);
    if (scaling) {
        read_scaling(*scaling, *kind,
                     config.size("original_max_position_embeddings", keys.longrope_original_tokens), rotary);
    }
    return rotary;
}

nn::Activation read_activation(const hub::ModelConfig& config, std::string_view key,
                               std::string_view otherwise) {
    constexpr std::array kNames{std::pair{"silu", nn::Activation::silu},
                                std::pair{"swish", nn::Activation::silu},
                                std::pair{"relu", nn::Activation::relu},
                                std::pair{"gelu", nn::Activation::gelu},
                                std::pair{"gelu_new", nn::Activation::gelu_tanh},
                                std::pair{"gelu_fast", nn::Activation::gelu_tanh},
                                std::pair{"gelu_pytorch_tanh", nn::Activation::gelu_tanh}};
    const std::string name = config.text(key, std::string(otherwise));
    for (const auto& [known, kind] : kNames) {
        if (name == known) return kind;
    }
    config.reject(key, fmt::format("'{}' is not supported: memcap has silu, relu, gelu and gelu_new", name));
}

std::vector<bool> read_sliding_layers(const hub::ModelConfig& config, std::vector<bool> otherwise) {
    if (!config.has("layer_types")) return otherwise;
    const auto types = config.texts("layer_types");
    if (types.size() != otherwise.size())
        config.reject("layer_types", fmt::format("it names {} layers of {}", types.size(), otherwise.size()));
    std::vector<bool> sliding;
    for (const auto& type : types) {
        if (type != "sliding_attention" && type != "full_attention")
            config.reject("layer_types", fmt::format("'{}' is not supported", type));
        sliding.push_back(type == "sliding_attention");
    }
    return sliding;
}

std::int64_t kept_by_attention(const Sizes& sizes) {
    return sizes.query_width() + 2 * sizes.key_width() + sizes.num_attention_heads;
}

std::int64_t kept_by_head_norms(const Sizes& sizes) {
    return (sizes.num_attention_heads + sizes.num_key_value_heads) * kept_by_rms_norm(sizes.head_dim);
}

std::int64_t kept_by_rms_norm(std::int64_t width) {
    return width + 1;
}

std::int64_t kept_by_layer_norm(std::int64_t width) {
    return width + 2;
}

Description describe_sizes(const char* family, const Sizes& sizes) {
    Description description;
    description.family = family;
    description.layers = sizes.num_hidden_layers;
    description.width = sizes.hidden_size;
    description.memory_width = sizes.hidden_size;
    description.query_heads = sizes.num_attention_heads;
    description.key_value_heads = sizes.num_key_value_heads;
    description.head_width = sizes.head_dim;
    description.mlp_width = sizes.intermediate_size;
    description.context_tokens = sizes.max_position_embeddings;
    description.vocabulary_size = sizes.vocab_size;
    description.embedding_parameters = std::int64_t{sizes.hidden_size} * sizes.vocab_size;
    description.head_parameters = description.embedding_parameters;
    return description;
}

Description describe_sizes(const char* family, const Sizes& sizes, const nn::RotaryConfig& rotary) {
    Description description = describe_sizes(family, sizes);
    description.context_tokens = rotary.context_tokens;
    description.common_rotation_tokens = rotary.common_tokens().value_or(0);
    description.rotates_by_length = rotary.dynamic.has_value();
    return description;
}

}  // namespace memcap::models::families
