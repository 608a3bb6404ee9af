// Phi-3: Llama with fused projections and partly rotated heads.

#include <vector>

#include "models/families/family.hpp"
#include "models/families/pre_norm_decoder.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Phi3Config that decide the numbers, under their names there.
struct Phi3Config {
    PreNormConfig common;
    std::int64_t sliding_window;  ///< 0: none
    nn::RotaryConfig rotary;
};

Phi3Config read_config(const hub::ModelConfig& config) {
    // attention_bias is read by no version.
    config.allow_only(with_size_keys({"rms_norm_eps", "hidden_act", "sliding_window", "partial_rotary_factor",
                                      "attention_bias"}),
                      "phi3");
    const Sizes sizes = read_sizes(config, {.vocab_size = 32064,
                                            .hidden_size = 3072,
                                            .intermediate_size = 8192,
                                            .num_hidden_layers = 32,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 0,
                                            .head_dim = 0,
                                            .max_position_embeddings = 4096});
    return {.common = read_pre_norm_config(config, sizes, 1e-5, false),
            .sliding_window = config.has("sliding_window") ? config.size("sliding_window") : 0,
            // Of the Llama line, this family alone may rotate a part of each head.
            .rotary = read_rotary(config, sizes,
                                  {.share = "partial_rotary_factor", .longrope_original_tokens = 4096})};
}

Description describe(const hub::ModelConfig& config) {
    const Phi3Config c = read_config(config);
    const Sizes& sizes = c.common.sizes;
    return describe_pre_norm("phi3", c.common, c.rotary,
                             GroupedAttention::parameters(sizes, Bias::absent, Bias::absent),
                             GatedMlp::parameters(sizes, Bias::absent));
}

class Phi3 final : public PreNormDecoder {
  public:
    Phi3(const Phi3Config& c, Description description, const nn::WeightReader& weights)
        : PreNormDecoder(
              c.common, std::move(description), weights,
              [&](const std::string& scope, std::size_t /*layer*/) { return read_parts(c, weights, scope); }),
          sliding_window_(c.sliding_window),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()) {}

  private:
    static Parts read_parts(const Phi3Config& c, const nn::WeightReader& weights, const std::string& scope) {
        const Sizes& sizes = c.common.sizes;
        const std::int64_t width = sizes.hidden_size;
        const auto linear = [&](const char* name, std::int64_t rows, std::int64_t columns) {
            return read_linear(weights, scope, {name}, {rows}, columns, Bias::absent);
        };
        const std::int64_t rows = sizes.query_width() + 2 * sizes.key_width();
        return {{linear("self_attn.qkv_proj", rows, width),
                 linear("self_attn.o_proj", width, sizes.query_width()), sizes},
                GatedMlp{linear("mlp.gate_up_proj", 2 * std::int64_t{sizes.intermediate_size}, width),
                         linear("mlp.down_proj", width, sizes.intermediate_size), c.common.hidden_act}};
    }

    at::Tensor attention(std::size_t /*index*/, const GroupedAttention& attention,
                         const at::Tensor& projected, const nn::Segments& segments) const override {
        return attention.attend(projected, segments, &rotary_,
                                {.scale = inverse_root(config().sizes.head_dim), .window = sliding_window_});
    }

    std::int64_t sliding_window_;
    nn::RotaryTable rotary_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Phi3>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kPhi3{.architecture = "Phi3ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
