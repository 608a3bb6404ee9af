// Reading and running the skeleton.
#include "models/families/post_norm_decoder.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "memcap/nn/norm.hpp"

namespace memcap::models::families {

std::vector<std::string_view> with_post_norm_keys(std::vector<std::string_view> others) {
    for (const std::string_view key : {"rms_norm_eps", "attention_bias", "hidden_act"}) others.push_back(key);
    return with_size_keys(std::move(others));
}

PostNormConfig read_post_norm_config(const hub::ModelConfig& config) {
    return {.sizes = read_sizes(config, {.vocab_size = 50304,
                                         .hidden_size = 4096,
                                         .intermediate_size = 11008,
                                         .num_hidden_layers = 32,
                                         .num_attention_heads = 32,
                                         .num_key_value_heads = 0,
                                         .head_dim = 0,
                                         .max_position_embeddings = 2048}),
            .rms_norm_eps = config.number("rms_norm_eps", 1e-5),
            .attention_bias = Bias{config.boolean("attention_bias", false)},
            .tie_word_embeddings = config.boolean("tie_word_embeddings", false),
            .hidden_act = read_activation(config, "hidden_act", "silu")};
}

Description describe_post_norm(const char* family, const PostNormConfig& c, const nn::RotaryConfig& rotary) {
    Description description = describe_sizes(family, c.sizes, rotary);
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

PostNormDecoder::PostNormDecoder(const PostNormConfig& config, Description description,
                                 const nn::WeightReader& weights)
    : PostNormDecoder(config, std::move(description), weights,
                      nn::Embedding(weights.matrix("model.embed_tokens.weight",
                                                   {config.sizes.vocab_size, config.sizes.hidden_size}))) {}

PostNormDecoder::PostNormDecoder(const PostNormConfig& c, Description description,
                                 const nn::WeightReader& weights, const nn::Embedding& embedding)
    : Decoder(std::move(description), embedding,
              {read_head(weights, "lm_head.weight", embedding, c.tie_word_embeddings)}, weights.device()),
      config_(c),
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
             .post_feedforward_norm = weights.vector(scope + "post_feedforward_layernorm.weight", width)});
    }
}

std::vector<at::Tensor> PostNormDecoder::row_parts(const at::Tensor& input_RE,
                                                   const at::Tensor& /*position_R*/) const {
    return {layers_.front().attention.project(input_RE)};
}

at::Tensor PostNormDecoder::hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                                   const nn::Segments& segments) const {
    const double epsilon = config_.rms_norm_eps;
    at::Tensor x_RD = input_RE;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer& layer = layers_[i];
        const at::Tensor projected = i == 0 ? row_parts.front() : layer.attention.project(x_RD);
        x_RD = x_RD + nn::rms_norm(attention(i, projected, segments), layer.post_attention_norm, epsilon);
        x_RD = x_RD + nn::rms_norm(layer.mlp(x_RD), layer.post_feedforward_norm, epsilon);
    }
    return nn::rms_norm(x_RD, final_norm_, epsilon, carried());
}

at::Tensor PostNormDecoder::attention(std::size_t index, const at::Tensor& projected,
                                      const nn::Segments& segments) const {
    const Layer& layer = layers_[index];
    const Sight seen = sight(index);
    const std::int64_t query = config_.sizes.query_width();
    const std::int64_t key = config_.sizes.key_width();
    const auto normed = [&](std::int64_t start, std::int64_t width, const at::Tensor& weight) {
        return nn::rms_norm(projected.narrow(-1, start, width), weight, config_.rms_norm_eps, carried());
    };
    const at::Tensor heads = at::cat({normed(0, query, layer.query_norm), normed(query, key, layer.key_norm),
                                      projected.narrow(-1, query + key, key)},
                                     -1);
    return layer.attention.attend(heads, segments, seen.rotary,
                                  {.scale = inverse_root(config_.sizes.head_dim), .window = seen.window});
}

}  // namespace memcap::models::families
