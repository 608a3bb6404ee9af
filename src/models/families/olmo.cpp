// OLMo: LayerNorm without weights, clipped queries, keys and values, SwiGLU.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/blocks.hpp"
#include "models/families/family.hpp"

namespace memcap::models::families {

namespace {

/// OlmoLayerNorm in transformers modeling_olmo.py; no key of the configuration changes it.
constexpr double kNormEpsilon = 1e-5;

/// The keys of transformers' OlmoConfig that decide the numbers, under their names there.
struct OlmoConfig {
    Sizes sizes;
    double clip_qkv;  ///< infinite: none
    Bias attention_bias;
    bool tie_word_embeddings;
    nn::Activation hidden_act;
    nn::RotaryConfig rotary;
};

OlmoConfig read_config(const hub::ModelConfig& config) {
    config.allow_only(with_size_keys({"clip_qkv", "attention_bias", "hidden_act"}), "olmo");
    const Sizes sizes = read_sizes(config, {.vocab_size = 50304,
                                            .hidden_size = 4096,
                                            .intermediate_size = 11008,
                                            .num_hidden_layers = 32,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 0,
                                            .head_dim = 0,
                                            .max_position_embeddings = 2048});
    const double clip = config.number("clip_qkv", std::numeric_limits<double>::infinity());
    if (!(clip > 0)) config.reject("clip_qkv", "it is not positive");
    return {.sizes = sizes,
            .clip_qkv = clip,
            .attention_bias = Bias{config.boolean("attention_bias", false)},
            .tie_word_embeddings = config.boolean("tie_word_embeddings", false),
            .hidden_act = read_activation(config, "hidden_act", "silu"),
            .rotary = read_rotary(config, sizes)};
}

Description describe(const hub::ModelConfig& config) {
    const OlmoConfig c = read_config(config);
    Description description = describe_sizes("olmo", c.sizes, c.rotary);
    description.block_parameters =
        (GroupedAttention::parameters(c.sizes, c.attention_bias, c.attention_bias) +
         GatedMlp::parameters(c.sizes, Bias::absent)) *
        c.sizes.num_hidden_layers;
    description.tied_head = c.tie_word_embeddings;
    const std::int64_t clipped =
        std::isfinite(c.clip_qkv) ? c.sizes.query_width() + 2 * c.sizes.key_width() : 0;
    description.kept_floats = (2 * kept_by_layer_norm(c.sizes.hidden_size) + kept_by_attention(c.sizes) +
                               clipped + std::int64_t{2} * c.sizes.intermediate_size) *
                                  c.sizes.num_hidden_layers +
                              2;
    return description;
}

struct Layer {
    GroupedAttention attention;
    GatedMlp mlp;
};

class Olmo final : public Decoder {
  public:
    Olmo(const OlmoConfig& c, Description description, const nn::WeightReader& weights,
         const nn::Embedding& embedding)
        : Decoder(std::move(description), embedding,
                  {read_head(weights, "lm_head.weight", embedding, c.tie_word_embeddings)}, weights.device()),
          config_(c),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()) {
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i) {
            const std::string scope = fmt::format("model.layers.{}.", i);
            layers_.push_back({{weights, scope, c.sizes, c.attention_bias, c.attention_bias},
                               {weights, scope, c.sizes, Bias::absent, c.hidden_act}});
        }
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& /*position_R*/) const override {
        return {layers_.front().attention.project(normed(input_RE))};
    }

    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        at::Tensor x_RD = input_RE;
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const Layer& layer = layers_[i];
            const at::Tensor projected = i == 0 ? row_parts.front() : layer.attention.project(normed(x_RD));
            x_RD = x_RD + attention(layer.attention, projected, segments);
            x_RD = x_RD + layer.mlp(normed(x_RD));
        }
        return normed(x_RD);
    }

  private:
    at::Tensor normed(const at::Tensor& x) const {
        return nn::layer_norm(x, {}, {}, kNormEpsilon, carried());
    }

    at::Tensor attention(const GroupedAttention& attention, at::Tensor projected,
                         const nn::Segments& segments) const {
        if (std::isfinite(config_.clip_qkv))
            projected = nn::clip(projected, -config_.clip_qkv, config_.clip_qkv);
        return attention.attend(projected, segments, &rotary_,
                                {.scale = inverse_root(config_.sizes.head_dim)});
    }

    OlmoConfig config_;
    nn::RotaryTable rotary_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const auto c = read_config(config);
    const nn::Embedding embedding(
        weights.matrix("model.embed_tokens.weight", {c.sizes.vocab_size, c.sizes.hidden_size}));
    return std::make_unique<Olmo>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kOlmo{.architecture = "OlmoForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
