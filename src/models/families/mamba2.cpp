// Mamba-2: layers of mixers alone.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstdint>
#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/family.hpp"
#include "models/families/mamba2_mixer.hpp"
#include "models/families/mamba_keys.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Mamba2Config that decide the numbers.
struct Mamba2Config {
    MambaSizes sizes;
    Mamba2MixerConfig mixer;
    bool tie_word_embeddings;
};

Mamba2Config read_config(const hub::ModelConfig& config) {
    // time_step_rank is Mamba's.
    config.allow_only(
        with_mamba_keys({"num_heads", "head_dim", "n_groups", "time_step_limit", "time_step_rank"}),
        "mamba2");
    const MambaSizes sizes = read_mamba_sizes(
        config, {.vocab_size = 32768, .hidden_size = 4096, .state_size = 128, .num_hidden_layers = 64});
    Mamba2MixerConfig mixer{.hidden_size = sizes.hidden_size,
                            .intermediate_size = sizes.intermediate_size,
                            .num_heads = config.size("num_heads", 128),
                            .head_dim = config.size("head_dim", 64),
                            .n_groups = config.size("n_groups", 8),
                            .state_size = sizes.state_size,
                            .conv_kernel = sizes.conv_kernel,
                            .norm_epsilon = sizes.layer_norm_epsilon,
                            .shortest_step = 0.0,
                            .longest_step = 0.0,
                            .conv_bias = sizes.use_conv_bias,
                            .projection_bias = sizes.use_bias,
                            .hidden_act = sizes.hidden_act};
    complete_mixer(config, "num_heads", "n_groups", mixer);
    return {
        .sizes = sizes, .mixer = mixer, .tie_word_embeddings = config.boolean("tie_word_embeddings", false)};
}

Description describe(const hub::ModelConfig& config) {
    const Mamba2Config c = read_config(config);
    const std::int64_t hidden = c.sizes.hidden_size;
    Description description =
        describe_mamba("mamba2", c.sizes, Mamba2Mixer::parameters(c.mixer) + hidden, c.tie_word_embeddings);
    description.kept_floats =
        (kept_by_rms_norm(hidden) + Mamba2Mixer::kept(c.mixer)) * c.sizes.num_hidden_layers + 1;
    return description;
}

struct Layer {
    at::Tensor norm;
    Mamba2Mixer mixer;
};

class Mamba2 final : public Decoder {
  public:
    Mamba2(const Mamba2Config& c, Description description, const nn::WeightReader& weights,
           const nn::Embedding& embedding)
        : Decoder(std::move(description), embedding,
                  {read_head(weights, "lm_head.weight", embedding, c.tie_word_embeddings)}, weights.device()),
          epsilon_(c.sizes.layer_norm_epsilon),
          final_norm_(weights.vector("backbone.norm_f.weight", c.sizes.hidden_size)) {
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i) {
            const std::string scope = fmt::format("backbone.layers.{}.", i);
            layers_.push_back({.norm = weights.vector(scope + "norm.weight", c.sizes.hidden_size),
                               .mixer = {weights, scope + "mixer.", c.mixer}});
        }
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& /*position_R*/) const override {
        const Layer& first = layers_.front();
        return {first.mixer.project(normed(input_RE, first.norm))};
    }

    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        at::Tensor x_RD = input_RE;
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const Layer& layer = layers_[i];
            const at::Tensor projected =
                i == 0 ? row_parts.front() : layer.mixer.project(normed(x_RD, layer.norm));
            x_RD = x_RD + layer.mixer.mix(projected, segments);
        }
        return normed(x_RD, final_norm_);
    }

  private:
    at::Tensor normed(const at::Tensor& x, const at::Tensor& weight) const {
        return nn::rms_norm(x, weight, epsilon_, carried());
    }

    double epsilon_;
    at::Tensor final_norm_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const Mamba2Config c = read_config(config);
    const nn::Embedding embedding(read_mamba_embedding(weights, c.sizes));
    return std::make_unique<Mamba2>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kMamba2{.architecture = "Mamba2ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
