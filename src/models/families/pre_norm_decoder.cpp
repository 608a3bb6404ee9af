// Reading and running the skeleton.
#include "models/families/pre_norm_decoder.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "memcap/nn/norm.hpp"

namespace memcap::models::families {

PreNormConfig read_pre_norm_config(const hub::ModelConfig& config, const Sizes& sizes, double default_epsilon,
                                   bool default_tie) {
    return {.sizes = sizes,
            .rms_norm_eps = config.number("rms_norm_eps", default_epsilon),
            .tie_word_embeddings = config.boolean("tie_word_embeddings", default_tie),
            .hidden_act = read_activation(config, "hidden_act", "silu")};
}

Description describe_pre_norm(const char* family, const PreNormConfig& config, const nn::RotaryConfig& rotary,
                              std::int64_t attention_parameters, std::int64_t mlp_parameters) {
    Description description = describe_sizes(family, config.sizes, rotary);
    const std::int64_t hidden = config.sizes.hidden_size;
    description.block_parameters =
        (attention_parameters + mlp_parameters + 2 * hidden) * config.sizes.num_hidden_layers + hidden;
    description.tied_head = config.tie_word_embeddings;
    // The first norm's sum is the input.
    description.kept_floats = (2 * kept_by_rms_norm(hidden) + kept_by_attention(config.sizes) +
                               std::int64_t{2} * config.sizes.intermediate_size) *
                                  config.sizes.num_hidden_layers +
                              1;
    return description;
}

PreNormDecoder::PreNormDecoder(const PreNormConfig& config, Description description,
                               const nn::WeightReader& weights, const ReadParts& read_parts)
    : PreNormDecoder(config, std::move(description), weights, read_parts,
                     nn::Embedding(weights.matrix("model.embed_tokens.weight",
                                                  {config.sizes.vocab_size, config.sizes.hidden_size}))) {}

PreNormDecoder::PreNormDecoder(const PreNormConfig& config, Description description,
                               const nn::WeightReader& weights, const ReadParts& read_parts,
                               const nn::Embedding& embedding)
    : Decoder(std::move(description), embedding,
              {read_head(weights, "lm_head.weight", embedding, config.tie_word_embeddings)},
              weights.device()),
      config_(config),
      final_norm_(weights.vector("model.norm.weight", config.sizes.hidden_size)) {
    const std::int64_t width = config.sizes.hidden_size;
    for (std::int32_t i = 0; i < config.sizes.num_hidden_layers; ++i) {
        const std::string scope = fmt::format("model.layers.{}.", i);
        layers_.push_back(
            {.input_norm = weights.vector(scope + "input_layernorm.weight", width),
             .post_attention_norm = weights.vector(scope + "post_attention_layernorm.weight", width),
             .parts = read_parts(scope, static_cast<std::size_t>(i))});
    }
}

std::vector<at::Tensor> PreNormDecoder::row_parts(const at::Tensor& input_RE,
                                                  const at::Tensor& /*position_R*/) const {
    const Layer& first = layers_.front();
    return {first.parts.attention.project(
        nn::rms_norm(input_RE, first.input_norm, config_.rms_norm_eps, carried()))};
}

at::Tensor PreNormDecoder::hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                                  const nn::Segments& segments) const {
    const double epsilon = config_.rms_norm_eps;
    nn::SumAndNorm x{input_RE, {}};
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer& layer = layers_[i];
        const at::Tensor projected = i == 0 ? row_parts.front() : layer.parts.attention.project(x.normalised);
        const at::Tensor& next_norm = i + 1 < layers_.size() ? layers_[i + 1].input_norm : final_norm_;
        x = nn::add_rms_norm(x.sum, attention(i, layer.parts.attention, projected, segments),
                             layer.post_attention_norm, epsilon, carried());
        x = nn::add_rms_norm(x.sum, layer.parts.mlp(x.normalised), next_norm, epsilon, carried());
    }
    return x.normalised;
}

}  // namespace memcap::models::families
