// Mistral: Llama with a sliding window in every layer and no biases.

#include <vector>

#include "models/families/family.hpp"
#include "models/families/pre_norm_decoder.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' MistralConfig that decide the numbers, under their names there.
struct MistralConfig {
    PreNormConfig common;
    std::int64_t sliding_window;  ///< 0: none
    nn::RotaryConfig rotary;
};

/// An absent window is the default of transformers, a window of null is none.
std::int64_t read_window(const hub::ModelConfig& config) {
    if (config.has("sliding_window")) return config.size("sliding_window");
    return config.is_null("sliding_window") ? 0 : 4096;
}

MistralConfig read_config(const hub::ModelConfig& config) {
    config.allow_only(with_size_keys({"rms_norm_eps", "sliding_window", "hidden_act"}), "mistral");
    const Sizes sizes = read_sizes(config, {.vocab_size = 32000,
                                            .hidden_size = 4096,
                                            .intermediate_size = 14336,
                                            .num_hidden_layers = 32,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 8,
                                            .head_dim = 0,
                                            .max_position_embeddings = 131072});
    return {.common = read_pre_norm_config(config, sizes, 1e-6, false),
            .sliding_window = read_window(config),
            .rotary = read_rotary(config, sizes)};
}

Description describe(const hub::ModelConfig& config) {
    const MistralConfig c = read_config(config);
    const Sizes& sizes = c.common.sizes;
    return describe_pre_norm("mistral", c.common, c.rotary,
                             GroupedAttention::parameters(sizes, Bias::absent, Bias::absent),
                             GatedMlp::parameters(sizes, Bias::absent));
}

class Mistral final : public PreNormDecoder {
  public:
    Mistral(const MistralConfig& c, Description description, const nn::WeightReader& weights)
        : PreNormDecoder(c.common, std::move(description), weights,
                         [&](const std::string& scope, std::size_t /*layer*/) {
                             const Sizes& sizes = c.common.sizes;
                             return Parts{{weights, scope, sizes, Bias::absent, Bias::absent},
                                          GatedMlp{weights, scope, sizes, Bias::absent, c.common.hidden_act}};
                         }),
          sliding_window_(c.sliding_window),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()) {}

  private:
    at::Tensor attention(std::size_t /*index*/, const GroupedAttention& attention,
                         const at::Tensor& projected, const nn::Segments& segments) const override {
        return attention.attend(projected, segments, &rotary_,
                                {.scale = inverse_root(config().sizes.head_dim), .window = sliding_window_});
    }

    std::int64_t sliding_window_;
    nn::RotaryTable rotary_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Mistral>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kMistral{.architecture = "MistralForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
