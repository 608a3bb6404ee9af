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

Description describe_pre_norm(const char* family, const PreNormConfig& config,
                              std::int64_t attention_parameters, std::int64_t mlp_parameters) {
    Description description = describe_sizes(family, config.sizes);
    const std::int64_t hidden = config.sizes.hidden_size;
    description.block_parameters =
        (attention_parameters + mlp_parameters + 2 * hidden) * config.sizes.num_hidden_layers + hidden;
    description.tied_head = config.tie_word_embeddings;
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
             .parts = read_parts(scope)});
    }
}

at::Tensor PreNormDecoder::hidden(const at::Tensor& input_BTE) const {
    const double epsilon = config_.rms_norm_eps;
    at::Tensor x_BTD = input_BTE;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer& layer = layers_[i];
        x_BTD = x_BTD + attention(i, layer.parts.attention, nn::rms_norm(x_BTD, layer.input_norm, epsilon));
        x_BTD = x_BTD + layer.parts.mlp(nn::rms_norm(x_BTD, layer.post_attention_norm, epsilon));
    }
    return nn::rms_norm(x_BTD, final_norm_, epsilon);
}

}  // namespace memcap::models::families
