// Llama 2 and 3: rotary attention with grouped keys, SwiGLU.

#include <vector>

#include "models/families/family.hpp"
#include "models/families/pre_norm_decoder.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' LlamaConfig that decide the numbers, under their names there.
struct LlamaConfig {
    PreNormConfig common;
    Bias attention_bias;
    Bias mlp_bias;
    nn::RotaryConfig rotary;
};

LlamaConfig read_config(const hub::ModelConfig& config) {
    config.allow_only(
        with_size_keys({"rms_norm_eps", "attention_bias", "mlp_bias", "hidden_act", "rope_interleaved"}),
        "llama");
    if (config.boolean("rope_interleaved", false))
        config.reject("rope_interleaved", "memcap pairs the halves of a head, as transformers does");
    const Sizes sizes = read_sizes(config, {.vocab_size = 32000,
                                            .hidden_size = 4096,
                                            .intermediate_size = 11008,
                                            .num_hidden_layers = 32,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 0,
                                            .head_dim = 0,
                                            .max_position_embeddings = 2048});
    return {.common = read_pre_norm_config(config, sizes, 1e-6, false),
            .attention_bias = Bias{config.boolean("attention_bias", false)},
            .mlp_bias = Bias{config.boolean("mlp_bias", false)},
            .rotary = read_rotary(config, sizes)};
}

Description describe(const hub::ModelConfig& config) {
    const LlamaConfig c = read_config(config);
    const Sizes& sizes = c.common.sizes;
    return describe_pre_norm("llama", c.common, c.rotary,
                             GroupedAttention::parameters(sizes, c.attention_bias, c.attention_bias),
                             GatedMlp::parameters(sizes, c.mlp_bias));
}

class Llama final : public PreNormDecoder {
  public:
    Llama(const LlamaConfig& c, Description description, const nn::WeightReader& weights)
        : PreNormDecoder(c.common, std::move(description), weights,
                         [&](const std::string& scope, std::size_t /*layer*/) {
                             const Sizes& sizes = c.common.sizes;
                             return Parts{{weights, scope, sizes, c.attention_bias, c.attention_bias},
                                          GatedMlp{weights, scope, sizes, c.mlp_bias, c.common.hidden_act}};
                         }),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()) {}

  private:
    at::Tensor attention(std::size_t /*index*/, const GroupedAttention& attention,
                         const at::Tensor& projected, const nn::Segments& segments) const override {
        return attention.attend(projected, segments, &rotary_,
                                {.scale = inverse_root(config().sizes.head_dim)});
    }

    nn::RotaryTable rotary_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Llama>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kLlama{.architecture = "LlamaForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
