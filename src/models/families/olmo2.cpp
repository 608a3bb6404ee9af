// OLMo-2: RMSNorm behind attention and MLP, and over all queries and all keys of a position.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/blocks.hpp"
#include "models/families/family.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Olmo2Config that decide the numbers, under their names there.
struct Olmo2Config {
    Sizes sizes;
    double rms_norm_eps;
    Bias attention_bias;
    bool tie_word_embeddings;
    nn::Activation hidden_act;
    nn::RotaryConfig rotary;
};

Olmo2Config read_config(const hub::ModelConfig& config) {
    config.allow_only(with_size_keys({"rms_norm_eps", "attention_bias", "hidden_act"}), "olmo2");
    const Sizes sizes = read_sizes(config, {.vocab_size = 50304,
                                            .hidden_size = 4096,
                                            .intermediate_size = 11008,
                                            .num_hidden_layers = 32,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 0,
                                            .head_dim = 0,
                                            .max_position_embeddings = 2048});
    return {.sizes = sizes,
            .rms_norm_eps = config.number("rms_norm_eps", 1e-5),
            .attention_bias = Bias{config.boolean("attention_bias", false)},
            .tie_word_embeddings = config.boolean("tie_word_embeddings", false),
            .hidden_act = read_activation(config, "hidden_act", "silu"),
            .rotary = read_rotary(config, sizes.head_dim)};
}

Description describe(const hub::ModelConfig& config) {
    const Olmo2Config c = read_config(config);
    Description description = describe_sizes("olmo2", c.sizes);
    const std::int64_t hidden = c.sizes.hidden_size;
    const std::int64_t layer = GroupedAttention::parameters(c.sizes, c.attention_bias, c.attention_bias) +
                               GatedMlp::parameters(c.sizes, Bias::absent) + c.sizes.query_width() +
                               c.sizes.key_width() + 2 * hidden;
    description.block_parameters = layer * c.sizes.num_hidden_layers + hidden;
    description.tied_head = c.tie_word_embeddings;
    description.kept_floats = (kept_by_rms_norm(c.sizes.query_width()) +
                               kept_by_rms_norm(c.sizes.key_width()) + kept_by_attention(c.sizes) +
                               2 * kept_by_rms_norm(hidden) + std::int64_t{2} * c.sizes.intermediate_size) *
                                  c.sizes.num_hidden_layers +
                              kept_by_rms_norm(hidden);
    return description;
}

struct Layer {
    GroupedAttention attention;
    at::Tensor query_norm;  // [H d]
    at::Tensor key_norm;    // [G d]
    at::Tensor post_attention_norm;
    GatedMlp mlp;
    at::Tensor post_feedforward_norm;
};

class Olmo2 final : public Decoder {
  public:
    Olmo2(const Olmo2Config& c, Description description, const nn::WeightReader& weights,
          const nn::Embedding& embedding)
        : Decoder(std::move(description), embedding,
                  {read_head(weights, "lm_head.weight", embedding, c.tie_word_embeddings)}, weights.device()),
          config_(c),
          rotary_(c.rotary, c.sizes.max_position_embeddings, weights.device()),
          final_norm_(weights.vector("model.norm.weight", c.sizes.hidden_size)) {
        const std::int64_t width = c.sizes.hidden_size;
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i) {
            const std::string scope = fmt::format("model.layers.{}.", i);
            layers_.push_back(
                {.attention = {weights, scope, c.sizes, c.attention_bias, c.attention_bias},
                 .query_norm = weights.vector(scope + "self_attn.q_norm.weight", c.sizes.query_width()),
                 .key_norm = weights.vector(scope + "self_attn.k_norm.weight", c.sizes.key_width()),
                 .post_attention_norm = weights.vector(scope + "post_attention_layernorm.weight", width),
                 .mlp = {weights, scope, c.sizes, Bias::absent, c.hidden_act},
                 .post_feedforward_norm =
                     weights.vector(scope + "post_feedforward_layernorm.weight", width)});
        }
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& /*position_R*/) const override {
        return {layers_.front().attention.project(input_RE)};
    }

    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        const double epsilon = config_.rms_norm_eps;
        at::Tensor x_RD = input_RE;
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const Layer& layer = layers_[i];
            const at::Tensor projected = i == 0 ? row_parts.front() : layer.attention.project(x_RD);
            x_RD = x_RD +
                   nn::rms_norm(attention(layer, projected, segments), layer.post_attention_norm, epsilon);
            x_RD = x_RD + nn::rms_norm(layer.mlp(x_RD), layer.post_feedforward_norm, epsilon);
        }
        return nn::rms_norm(x_RD, final_norm_, epsilon, carried());
    }

  private:
    at::Tensor attention(const Layer& layer, const at::Tensor& projected,
                         const nn::Segments& segments) const {
        const std::int64_t query = config_.sizes.query_width();
        const std::int64_t key = config_.sizes.key_width();
        const auto normed = [&](std::int64_t start, std::int64_t width, const at::Tensor& weight) {
            return nn::rms_norm(projected.narrow(-1, start, width), weight, config_.rms_norm_eps, carried());
        };
        const at::Tensor heads =
            at::cat({normed(0, query, layer.query_norm), normed(query, key, layer.key_norm),
                     projected.narrow(-1, query + key, key)},
                    -1);
        return layer.attention.attend(heads, segments, &rotary_,
                                      {.scale = inverse_root(config_.sizes.head_dim)});
    }

    Olmo2Config config_;
    nn::RotaryTable rotary_;
    at::Tensor final_norm_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const auto c = read_config(config);
    const nn::Embedding embedding(
        weights.matrix("model.embed_tokens.weight", {c.sizes.vocab_size, c.sizes.hidden_size}));
    return std::make_unique<Olmo2>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kOlmo2{.architecture = "Olmo2ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
