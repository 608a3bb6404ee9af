// Shared keys of config.json.
#include "models/families/config_keys.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace memcap::models::families {

std::vector<std::string_view> with_size_keys(std::vector<std::string_view> others) {
    for (const std::string_view key :
         {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "num_key_value_heads", "head_dim", "max_position_embeddings", "rope_theta", "rope_scaling",
          "rope_parameters", "tie_word_embeddings"}) {
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

void read_rotary_scaling(const hub::ModelConfig& scaling, nn::RotaryConfig& rotary) {
    scaling.allow_only({"rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
                        "original_max_position_embeddings", "partial_rotary_factor"},
                       "rope_parameters");
    rotary.theta = scaling.number("rope_theta", rotary.theta);
    // Written as `type` until 2024.
    const std::string type = scaling.text("rope_type", scaling.text("type", "default"));
    if (type == "default") return;
    if (type == "linear") {
        rotary.linear_factor = scaling.number("factor");
    } else if (type == "llama3") {
        rotary.llama3 = nn::Llama3Scaling{
            .factor = scaling.number("factor"),
            .low_frequency_factor = scaling.number("low_freq_factor"),
            .high_frequency_factor = scaling.number("high_freq_factor"),
            .original_context_tokens = static_cast<double>(scaling.size("original_max_position_embeddings"))};
    } else {
        scaling.reject("rope_type",
                       fmt::format("'{}' is not supported: memcap has default, linear and llama3", type));
    }
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

nn::RotaryConfig read_rotary(const hub::ModelConfig& config, std::int32_t head_dim, const RotaryKeys& keys) {
    nn::RotaryConfig rotary{.head_width = head_dim,
                            .theta = config.number(keys.theta, keys.default_theta),
                            .linear_factor = 1.0,
                            .llama3 = {}};
    const bool whole = keys.share.empty();
    double share = whole ? 1.0 : config.number(keys.share, keys.default_share);
    // transformers 5 lets rope_scaling win where a file has both.
    auto scaling = config.object("rope_scaling");
    if (!scaling || scaling->keys().empty()) scaling = config.object("rope_parameters");
    if (scaling) {
        read_rotary_scaling(*scaling, rotary);
        share = scaling->number("partial_rotary_factor", share);
        if (whole && share != 1.0)
            scaling->reject("partial_rotary_factor", "whole heads rotate in this family");
    }
    rotary.head_width = rotated_width(config, head_dim, share, keys.share);
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

}  // namespace memcap::models::families
