// Qwen2 and Qwen2.5: Llama with biases on queries, keys and values, and windows in the upper layers.

#include <vector>

#include "models/families/family.hpp"
#include "models/families/pre_norm_decoder.hpp"
#include "models/families/qwen_windows.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Qwen2Config that decide the numbers, under their names there.
struct Qwen2Config {
    PreNormConfig common;
    std::vector<std::int64_t> windows;
    nn::RotaryConfig rotary;
};

Qwen2Config read_config(const hub::ModelConfig& config) {
    config.allow_only(with_size_keys({"rms_norm_eps", "hidden_act", "use_sliding_window", "sliding_window",
                                      "max_window_layers", "layer_types", "use_mrope"}),
                      "qwen2");
    if (config.boolean("use_mrope", false)) config.reject("use_mrope", "memcap reads text models only");
    const Sizes sizes = read_sizes(config, {.vocab_size = 151936,
                                            .hidden_size = 4096,
                                            .intermediate_size = 22016,
                                            .num_hidden_layers = 32,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 32,
                                            .head_dim = 0,
                                            .max_position_embeddings = 32768});
    return {.common = read_pre_norm_config(config, sizes, 1e-6, false),
            .windows = read_qwen_windows(config, sizes.num_hidden_layers),
            .rotary = read_rotary(config, sizes)};
}

Description describe(const hub::ModelConfig& config) {
    const Qwen2Config c = read_config(config);
    const Sizes& sizes = c.common.sizes;
    return describe_pre_norm("qwen2", c.common, c.rotary,
                             GroupedAttention::parameters(sizes, Bias::present, Bias::absent),
                             GatedMlp::parameters(sizes, Bias::absent));
}

class Qwen2 final : public PreNormDecoder {
  public:
    Qwen2(const Qwen2Config& c, Description description, const nn::WeightReader& weights)
        : PreNormDecoder(c.common, std::move(description), weights,
                         [&](const std::string& scope, std::size_t /*layer*/) {
                             const Sizes& sizes = c.common.sizes;
                             return Parts{{weights, scope, sizes, Bias::present, Bias::absent},
                                          GatedMlp{weights, scope, sizes, Bias::absent, c.common.hidden_act}};
                         }),
          windows_(c.windows),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()) {}

  private:
    at::Tensor attention(std::size_t index, const GroupedAttention& attention, const at::Tensor& projected,
                         const nn::Segments& segments) const override {
        return attention.attend(projected, segments, &rotary_,
                                {.scale = inverse_root(config().sizes.head_dim), .window = windows_[index]});
    }

    std::vector<std::int64_t> windows_;
    nn::RotaryTable rotary_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Qwen2>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kQwen2{.architecture = "Qwen2ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
