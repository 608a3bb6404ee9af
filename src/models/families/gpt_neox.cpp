// GPT-NeoX and Pythia: LayerNorm, partly rotated heads, attention and MLP side by side or in sequence.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/blocks.hpp"
#include "models/families/family.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' GPTNeoXConfig that decide the numbers, under their names there.
struct GptNeoXConfig {
    Sizes sizes;
    double layer_norm_eps;
    bool use_parallel_residual;
    Bias attention_bias;
    bool tie_word_embeddings;
    nn::Activation hidden_act;
    nn::RotaryConfig rotary;
};

GptNeoXConfig read_config(const hub::ModelConfig& config) {
    // A rope_theta beside these is written by some versions, and read by none for this family.
    config.allow_only(
        {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
         "hidden_act", "max_position_embeddings", "layer_norm_eps", "use_parallel_residual", "attention_bias",
         "tie_word_embeddings", "rotary_pct", "rotary_emb_base", "rope_theta", "rope_scaling",
         "rope_parameters", "original_max_position_embeddings", "partial_rotary_factor"},
        "gpt_neox");
    GptNeoXConfig c{};
    c.sizes = read_sizes(config, {.vocab_size = 50432,
                                  .hidden_size = 6144,
                                  .intermediate_size = 24576,
                                  .num_hidden_layers = 44,
                                  .num_attention_heads = 64,
                                  .num_key_value_heads = 0,
                                  .head_dim = 0,
                                  .max_position_embeddings = 2048});
    c.layer_norm_eps = config.number("layer_norm_eps", 1e-5);
    c.use_parallel_residual = config.boolean("use_parallel_residual", true);
    c.attention_bias = Bias{config.boolean("attention_bias", true)};
    c.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
    c.hidden_act = read_activation(config, "hidden_act", "gelu");
    c.rotary = read_rotary(config, c.sizes,
                           {.theta = "rotary_emb_base", .share = "rotary_pct", .default_share = 0.25});
    return c;
}

Description describe(const hub::ModelConfig& config) {
    const GptNeoXConfig c = read_config(config);
    Description description = describe_sizes("gpt_neox", c.sizes, c.rotary);
    const std::int64_t hidden = c.sizes.hidden_size;
    const std::int64_t inner = c.sizes.intermediate_size;
    const std::int64_t layer = GroupedAttention::parameters(c.sizes, c.attention_bias, c.attention_bias) +
                               2 * hidden * inner + inner + hidden + 4 * hidden;
    description.block_parameters = layer * c.sizes.num_hidden_layers + 2 * hidden;
    description.tied_head = c.tie_word_embeddings;
    // Side by side, both norms have the same sum. The first one is the input.
    const std::int64_t norms = 2 * kept_by_layer_norm(hidden) - (c.use_parallel_residual ? hidden : 0);
    description.kept_floats = (norms + kept_by_attention(c.sizes) + inner) * c.sizes.num_hidden_layers +
                              kept_by_layer_norm(hidden) - hidden;
    return description;
}

struct Layer {
    Norm input_norm;
    Norm post_attention_norm;
    nn::Linear query_key_value;  // rows: head by head its query, key and value
    nn::Linear dense;
    nn::Linear up;
    nn::Linear down;
};

class GptNeoX final : public Decoder {
  public:
    GptNeoX(const GptNeoXConfig& c, Description description, const nn::WeightReader& weights,
            const nn::Embedding& embedding)
        // The head is called lm_head since transformers 5.
        : Decoder(
              std::move(description), embedding,
              {read_head(weights, weights.contains("lm_head.weight") ? "lm_head.weight" : "embed_out.weight",
                         embedding, c.tie_word_embeddings)},
              weights.device()),
          config_(c),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()),
          final_norm_(read_norm(weights, "gpt_neox.final_layer_norm", c.sizes.hidden_size)) {
        const std::int64_t width = c.sizes.hidden_size;
        const std::int64_t inner = c.sizes.intermediate_size;
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i) {
            const std::string scope = fmt::format("gpt_neox.layers.{}.", i);
            const auto linear = [&](const char* name, std::int64_t rows, std::int64_t columns, Bias bias) {
                return read_linear(weights, scope, {name}, {rows}, columns, bias);
            };
            layers_.push_back(
                {.input_norm = read_norm(weights, scope + "input_layernorm", width),
                 .post_attention_norm = read_norm(weights, scope + "post_attention_layernorm", width),
                 .query_key_value = linear("attention.query_key_value", 3 * width, width, c.attention_bias),
                 .dense = linear("attention.dense", width, width, c.attention_bias),
                 .up = linear("mlp.dense_h_to_4h", inner, width, Bias::present),
                 .down = linear("mlp.dense_4h_to_h", width, inner, Bias::present)});
        }
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& /*position_R*/) const override {
        // Side by side, the MLP takes the layer's input as well.
        std::vector<at::Tensor> parts{project(layers_.front(), input_RE)};
        if (config_.use_parallel_residual) parts.push_back(mlp(layers_.front(), input_RE));
        return parts;
    }

    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        at::Tensor x_RD = input_RE;
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const Layer& layer = layers_[i];
            const at::Tensor attended_RD =
                attention(layer, i == 0 ? row_parts.front() : project(layer, x_RD), segments);
            if (config_.use_parallel_residual) {
                x_RD = x_RD + attended_RD + (i == 0 ? row_parts.back() : mlp(layer, x_RD));
            } else {
                x_RD = x_RD + attended_RD;
                x_RD = x_RD + mlp(layer, x_RD);
            }
        }
        return normed(x_RD, final_norm_);
    }

  private:
    at::Tensor normed(const at::Tensor& x, const Norm& norm) const {
        return nn::layer_norm(x, norm.weight, norm.bias, config_.layer_norm_eps, carried());
    }

    at::Tensor project(const Layer& layer, const at::Tensor& x_RD) const {
        return layer.query_key_value(normed(x_RD, layer.input_norm));
    }

    at::Tensor attention(const Layer& layer, const at::Tensor& projected,
                         const nn::Segments& segments) const {
        return layer.dense(nn::causal_attention(
            projected, segments,
            nn::HeadLayout::interleaved(config_.sizes.num_attention_heads, config_.sizes.head_dim), &rotary_,
            {.scale = inverse_root(config_.sizes.head_dim)}, layer.dense.mode()));
    }

    at::Tensor mlp(const Layer& layer, const at::Tensor& x_RD) const {
        const at::Tensor normed_RD = normed(x_RD, layer.post_attention_norm);
        return layer.down(nn::activate(layer.up(normed_RD), config_.hidden_act));
    }

    GptNeoXConfig config_;
    nn::RotaryTable rotary_;
    Norm final_norm_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const auto c = read_config(config);
    const nn::Embedding embedding(
        weights.matrix("gpt_neox.embed_in.weight", {c.sizes.vocab_size, c.sizes.hidden_size}));
    return std::make_unique<GptNeoX>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kGptNeoX{.architecture = "GPTNeoXForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
