// SmolLM3: Llama with layers that do not rotate.

#include <vector>

#include "models/families/family.hpp"
#include "models/families/pre_norm_decoder.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' SmolLM3Config that decide the numbers, under their names there.
struct SmolLM3Config {
    PreNormConfig common;
    Bias attention_bias;
    Bias mlp_bias;
    std::vector<bool> rotates;  ///< by layer
    std::vector<std::int64_t> windows;
    nn::RotaryConfig rotary;
};

/// `no_rope_layers` has 1 for a layer that rotates, despite its name.
std::vector<bool> read_rotating_layers(const hub::ModelConfig& config, std::int32_t layers) {
    std::vector<bool> rotates;
    const std::int32_t interval = config.size("no_rope_layer_interval", 4);
    for (std::int32_t i = 0; i < layers; ++i) rotates.push_back((i + 1) % interval != 0);
    if (!config.has("no_rope_layers")) return rotates;
    const auto listed = config.integers("no_rope_layers");
    if (listed.size() < rotates.size())
        config.reject("no_rope_layers", "it has fewer entries than there are layers");
    for (std::size_t i = 0; i < rotates.size(); ++i) rotates[i] = listed[i] != 0;
    return rotates;
}

std::vector<std::int64_t> read_windows(const hub::ModelConfig& config, const std::vector<bool>& rotates) {
    const bool enabled = config.boolean("use_sliding_window", false) && config.has("sliding_window");
    std::vector<bool> still(rotates.size());
    for (std::size_t i = 0; i < rotates.size(); ++i) still[i] = enabled && !rotates[i];
    std::vector<std::int64_t> windows;
    for (const bool slides : read_sliding_layers(config, still))
        windows.push_back(slides ? config.size("sliding_window") : 0);
    return windows;
}

SmolLM3Config read_config(const hub::ModelConfig& config) {
    config.allow_only(with_size_keys({"rms_norm_eps", "hidden_act", "attention_bias", "mlp_bias",
                                      "no_rope_layers", "no_rope_layer_interval", "use_sliding_window",
                                      "sliding_window", "layer_types", "max_window_layers"}),
                      "smollm3");
    const Sizes sizes = read_sizes(config, {.vocab_size = 128256,
                                            .hidden_size = 2048,
                                            .intermediate_size = 11008,
                                            .num_hidden_layers = 36,
                                            .num_attention_heads = 16,
                                            .num_key_value_heads = 4,
                                            .head_dim = 0,
                                            .max_position_embeddings = 32768});
    const auto rotates = read_rotating_layers(config, sizes.num_hidden_layers);
    return {.common = read_pre_norm_config(config, sizes, 1e-6, true),
            .attention_bias = Bias{config.boolean("attention_bias", false)},
            .mlp_bias = Bias{config.boolean("mlp_bias", false)},
            .rotates = rotates,
            .windows = read_windows(config, rotates),
            .rotary = read_rotary(config, sizes, {.default_theta = 2e6})};
}

Description describe(const hub::ModelConfig& config) {
    const SmolLM3Config c = read_config(config);
    const Sizes& sizes = c.common.sizes;
    return describe_pre_norm("smollm3", c.common, c.rotary,
                             GroupedAttention::parameters(sizes, c.attention_bias, c.attention_bias),
                             GatedMlp::parameters(sizes, c.mlp_bias));
}

class SmolLM3 final : public PreNormDecoder {
  public:
    SmolLM3(const SmolLM3Config& c, Description description, const nn::WeightReader& weights)
        : PreNormDecoder(c.common, std::move(description), weights,
                         [&](const std::string& scope, std::size_t /*layer*/) {
                             const Sizes& sizes = c.common.sizes;
                             return Parts{{weights, scope, sizes, c.attention_bias, c.attention_bias},
                                          GatedMlp{weights, scope, sizes, c.mlp_bias, c.common.hidden_act}};
                         }),
          rotates_(c.rotates),
          windows_(c.windows),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()) {}

  private:
    at::Tensor attention(std::size_t index, const GroupedAttention& attention, const at::Tensor& projected,
                         const nn::Segments& segments) const override {
        return attention.attend(projected, segments, rotates_[index] ? &rotary_ : nullptr,
                                {.scale = inverse_root(config().sizes.head_dim), .window = windows_[index]});
    }

    std::vector<bool> rotates_;
    std::vector<std::int64_t> windows_;
    nn::RotaryTable rotary_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<SmolLM3>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kSmolLM3{.architecture = "SmolLM3ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
