// Qwen3: Llama with RMSNorm on each head of queries and keys.

#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/family.hpp"
#include "models/families/pre_norm_decoder.hpp"
#include "models/families/qwen_windows.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Qwen3Config that decide the numbers, under their names there.
struct Qwen3Config {
    PreNormConfig common;
    Bias attention_bias;
    std::vector<std::int64_t> windows;
    nn::RotaryConfig rotary;
};

Qwen3Config read_config(const hub::ModelConfig& config) {
    config.allow_only(with_size_keys({"rms_norm_eps", "hidden_act", "attention_bias", "use_sliding_window",
                                      "sliding_window", "max_window_layers", "layer_types"}),
                      "qwen3");
    const Sizes sizes = read_sizes(config, {.vocab_size = 151936,
                                            .hidden_size = 4096,
                                            .intermediate_size = 22016,
                                            .num_hidden_layers = 32,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 32,
                                            .head_dim = 128,
                                            .max_position_embeddings = 32768});
    return {.common = read_pre_norm_config(config, sizes, 1e-6, false),
            .attention_bias = Bias{config.boolean("attention_bias", false)},
            .windows = read_qwen_windows(config, sizes.num_hidden_layers),
            .rotary = read_rotary(config, sizes)};
}

Description describe(const hub::ModelConfig& config) {
    const Qwen3Config c = read_config(config);
    const Sizes& sizes = c.common.sizes;
    Description description =
        describe_pre_norm("qwen3", c.common, c.rotary,
                          GroupedAttention::parameters(sizes, c.attention_bias, c.attention_bias) +
                              std::int64_t{2} * sizes.head_dim,
                          GatedMlp::parameters(sizes, Bias::absent));
    description.kept_floats += kept_by_head_norms(sizes) * sizes.num_hidden_layers;
    return description;
}

class Qwen3 final : public PreNormDecoder {
  public:
    Qwen3(const Qwen3Config& c, Description description, const nn::WeightReader& weights)
        : PreNormDecoder(c.common, std::move(description), weights,
                         [&](const std::string& scope, std::size_t /*layer*/) {
                             const Sizes& sizes = c.common.sizes;
                             return Parts{{weights, scope, sizes, c.attention_bias, c.attention_bias},
                                          GatedMlp{weights, scope, sizes, Bias::absent, c.common.hidden_act}};
                         }),
          windows_(c.windows),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()),
          head_norms_(read_head_norms(weights, "model.", c.common.sizes)) {}

  private:
    at::Tensor attention(std::size_t index, const GroupedAttention& attention, const at::Tensor& projected,
                         const nn::Segments& segments) const override {
        const at::Tensor normed =
            attention.normalise_heads(projected, head_norms_[index], config().rms_norm_eps);
        return attention.attend(normed, segments, &rotary_,
                                {.scale = inverse_root(config().sizes.head_dim), .window = windows_[index]});
    }

    std::vector<std::int64_t> windows_;
    nn::RotaryTable rotary_;
    std::vector<at::Tensor> head_norms_;  // [H + G, d] each
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Qwen3>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kQwen3{.architecture = "Qwen3ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
