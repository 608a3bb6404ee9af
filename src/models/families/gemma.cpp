// Gemma 2 and the text part of Gemma 3, alone or beside images: norms around attention and MLP, local and
// global layers, soft caps.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/blocks.hpp"
#include "models/families/family.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Gemma2Config and Gemma3TextConfig that decide the numbers, under their names
/// there.
struct GemmaConfig {
    const char* family;
    Sizes sizes;
    double rms_norm_eps;
    double query_pre_attn_scalar;
    double attn_logit_softcapping;   ///< 0: none
    double final_logit_softcapping;  ///< 0: none
    Bias attention_bias;
    bool tie_word_embeddings;
    bool normalises_heads;  ///< Gemma 3: RMSNorm on each head of queries and keys
    nn::Activation hidden_activation;
    std::int64_t sliding_window;
    std::vector<bool> slides;  ///< by layer
    nn::RotaryConfig global_rotary;
    nn::RotaryConfig local_rotary;
};

constexpr Sizes kDefaultSizes{.vocab_size = 256000,
                              .hidden_size = 2304,
                              .intermediate_size = 9216,
                              .num_hidden_layers = 26,
                              .num_attention_heads = 8,
                              .num_key_value_heads = 4,
                              .head_dim = 256,
                              .max_position_embeddings = 8192};

/// What both generations have. `cap_defaults`: of attention and of the logits where the file is silent.
GemmaConfig read_common(const hub::ModelConfig& config, const Sizes& defaults, double attention_cap,
                        double final_cap) {
    if (config.boolean("use_bidirectional_attention", false))
        config.reject("use_bidirectional_attention", "memcap reads causal models only");
    const auto cap = [&config](std::string_view key, double otherwise) {
        return config.is_null(key) ? 0.0 : config.number(key, otherwise);
    };
    GemmaConfig c{};
    c.sizes = read_sizes(config, defaults);
    c.rms_norm_eps = config.number("rms_norm_eps", 1e-6);
    c.query_pre_attn_scalar = config.number("query_pre_attn_scalar", 256);
    c.attn_logit_softcapping = cap("attn_logit_softcapping", attention_cap);
    c.final_logit_softcapping = cap("final_logit_softcapping", final_cap);
    c.attention_bias = Bias{config.boolean("attention_bias", false)};
    c.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
    c.hidden_activation = read_activation(config, "hidden_activation", "gelu_pytorch_tanh");
    c.sliding_window = config.is_null("sliding_window") ? 0 : config.size("sliding_window", 4096);
    return c;
}

// A `hidden_act` beside hidden_activation is read by no version.
std::vector<std::string_view> known_keys(std::vector<std::string_view> others) {
    for (const std::string_view key :
         {"rms_norm_eps", "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping",
          "attention_bias", "hidden_activation", "hidden_act", "sliding_window", "layer_types",
          "use_bidirectional_attention", "cache_implementation"}) {
        others.push_back(key);
    }
    return with_size_keys(std::move(others));
}

GemmaConfig read_gemma2(const hub::ModelConfig& config) {
    config.allow_only(known_keys({"sliding_window_size"}));
    GemmaConfig c = read_common(config, kDefaultSizes, 50.0, 30.0);
    c.family = "gemma2";
    std::vector<bool> even;
    for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i) even.push_back(i % 2 == 0);
    c.slides = read_sliding_layers(config, even);
    c.global_rotary = read_rotary(config, c.sizes);
    c.local_rotary = c.global_rotary;
    return c;
}

/// Two rotations: until transformers 4 by rope_theta with rope_scaling and rope_local_base_freq, since then
/// by one object a type of layer.
void read_gemma3_rotaries(const hub::ModelConfig& config, GemmaConfig& c) {
    c.global_rotary = plain_rotary(c.sizes, config.number("rope_theta", 1e6));
    c.local_rotary = plain_rotary(c.sizes, config.number("rope_local_base_freq", 1e4));
    if (c.sizes.head_dim % 2 != 0) config.reject("head_dim", "rotary embedding needs an even width");
    if (const auto both = config.object("rope_parameters")) {
        both->allow_only({"full_attention", "sliding_attention"});
        read_layer_scaling(*both, "full_attention", c.global_rotary);
        read_layer_scaling(*both, "sliding_attention", c.local_rotary);
        reject_rotation_by_length(*both, "sliding_attention", c.local_rotary);
    }
    read_layer_scaling(config, "rope_scaling", c.global_rotary);
}

GemmaConfig read_gemma3(const hub::ModelConfig& config) {
    config.allow_only(
        known_keys({"rope_local_base_freq", "sliding_window_pattern", "_sliding_window_pattern"}));
    Sizes sizes = kDefaultSizes;
    sizes.vocab_size = 262208;
    sizes.max_position_embeddings = 131072;
    GemmaConfig c = read_common(config, sizes, 0.0, 0.0);
    if (c.attn_logit_softcapping != 0)
        config.reject("attn_logit_softcapping", "transformers does not apply it for Gemma 3");
    c.family = "gemma3";
    c.normalises_heads = true;
    const std::int32_t pattern = config.size("sliding_window_pattern", 6);
    std::vector<bool> all_but_each_last;
    for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i)
        all_but_each_last.push_back((i + 1) % pattern != 0);
    c.slides = read_sliding_layers(config, all_but_each_last);
    read_gemma3_rotaries(config, c);
    return c;
}

/// Gemma3Config: the text part lies in an object of its own beside that of the images, which memcap passes
/// over. Tokens of images are as any other where there is none.
GemmaConfig read_gemma3_beside_images(const hub::ModelConfig& config) {
    config.allow_only({"text_config", "vision_config", "tie_word_embeddings", "mm_tokens_per_image",
                       "boi_token_index", "eoi_token_index", "image_token_index"});
    const auto text = config.object("text_config");
    if (!text) config.reject("text_config", "it is missing");
    GemmaConfig c = read_gemma3(*text);
    // transformers applies it to Gemma3ForCausalLM alone.
    if (c.final_logit_softcapping != 0)
        text->reject("final_logit_softcapping", "transformers does not apply it in this architecture");
    c.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
    return c;
}

Description describe_gemma(const GemmaConfig& c) {
    Description description = describe_sizes(c.family, c.sizes, c.global_rotary);
    const std::int64_t hidden = c.sizes.hidden_size;
    const std::int64_t head_norms = c.normalises_heads ? 2 * c.sizes.head_dim : 0;
    const std::int64_t layer = GroupedAttention::parameters(c.sizes, c.attention_bias, c.attention_bias) +
                               GatedMlp::parameters(c.sizes, Bias::absent) + head_norms + 4 * hidden;
    description.block_parameters = layer * c.sizes.num_hidden_layers + hidden;
    description.tied_head = c.tie_word_embeddings;
    description.kept_floats = (4 * kept_by_rms_norm(hidden) + kept_by_attention(c.sizes) +
                               (c.normalises_heads ? kept_by_head_norms(c.sizes) : 0) +
                               std::int64_t{2} * c.sizes.intermediate_size) *
                                  c.sizes.num_hidden_layers +
                              1;
    return description;
}

/// transformers modeling_gemma2.py, Gemma2RMSNorm: the factor is 1 + weight.
at::Tensor read_factor(const nn::WeightReader& weights, const std::string& name, std::int64_t width) {
    return weights.vector(name + ".weight", width).add(1.0);
}

/// What the files call the weights.
struct Names {
    std::string body = "model.";
    std::string head = "lm_head.weight";
};

/// transformers conversion_mapping.py, "llava": published files, and those of transformers 5, put the
/// language model first; some between them are named as the modules are since transformers 4.52.
Names names_beside_images(const nn::WeightReader& weights) {
    Names names{.body = "language_model.model.", .head = "language_model.lm_head.weight"};
    if (weights.contains("model.language_model.embed_tokens.weight")) names.body = "model.language_model.";
    if (!weights.contains(names.head)) names.head = "lm_head.weight";
    return names;
}

struct Layer {
    at::Tensor input_norm;
    GroupedAttention attention;
    at::Tensor head_norm;  // [H + G, d]; undefined for Gemma 2
    at::Tensor post_attention_norm;
    at::Tensor pre_feedforward_norm;
    GatedMlp mlp;
    at::Tensor post_feedforward_norm;
};

class Gemma final : public Decoder {
  public:
    Gemma(const GemmaConfig& c, const nn::WeightReader& weights, const Names& names,
          const nn::Embedding& embedding)
        : Decoder(
              describe_gemma(c), embedding,
              {read_head(weights, names.head, embedding, c.tie_word_embeddings), c.final_logit_softcapping},
              weights.device()),
          config_(c),
          global_rotary_(c.global_rotary, c.global_rotary.context_tokens, weights.device()),
          local_rotary_(c.local_rotary, c.global_rotary.context_tokens, weights.device()),
          final_norm_(read_factor(weights, names.body + "norm", c.sizes.hidden_size)) {
        std::vector<at::Tensor> head_norms(static_cast<std::size_t>(c.sizes.num_hidden_layers));
        if (c.normalises_heads) head_norms = read_head_norms(weights, names.body, c.sizes);
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i) {
            const std::string scope = fmt::format("{}layers.{}.", names.body, i);
            const at::Tensor& head_norm = head_norms[static_cast<std::size_t>(i)];
            const auto factor = [&](const char* name) {
                return read_factor(weights, scope + name, c.sizes.hidden_size);
            };
            layers_.push_back({.input_norm = factor("input_layernorm"),
                               .attention = {weights, scope, c.sizes, c.attention_bias, c.attention_bias},
                               .head_norm = head_norm.defined() ? head_norm.add(1.0) : head_norm,
                               .post_attention_norm = factor("post_attention_layernorm"),
                               .pre_feedforward_norm = factor("pre_feedforward_layernorm"),
                               .mlp = {weights, scope, c.sizes, Bias::absent, c.hidden_activation},
                               .post_feedforward_norm = factor("post_feedforward_layernorm")});
        }
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& /*position_R*/) const override {
        const Layer& first = layers_.front();
        return {first.attention.project(normed(input_RE, first.input_norm))};
    }

    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        at::Tensor x_RD = input_RE;
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const Layer& layer = layers_[i];
            const at::Tensor projected =
                i == 0 ? row_parts.front() : layer.attention.project(normed(x_RD, layer.input_norm));
            const at::Tensor attended_RD = attention(i, projected, segments);
            x_RD = x_RD + normed(attended_RD, layer.post_attention_norm);
            const at::Tensor fed_RD = layer.mlp(normed(x_RD, layer.pre_feedforward_norm));
            x_RD = x_RD + normed(fed_RD, layer.post_feedforward_norm);
        }
        return normed(x_RD, final_norm_);
    }

  private:
    at::Tensor normed(const at::Tensor& x, const at::Tensor& factor) const {
        return nn::rms_norm(x, factor, config_.rms_norm_eps, carried());
    }

    at::Tensor attention(std::size_t index, at::Tensor projected, const nn::Segments& segments) const {
        const Layer& layer = layers_[index];
        const bool slides = config_.slides[index];
        if (config_.normalises_heads)
            projected = layer.attention.normalise_heads(projected, layer.head_norm, config_.rms_norm_eps);
        return layer.attention.attend(projected, segments, slides ? &local_rotary_ : &global_rotary_,
                                      {.scale = 1.0 / std::sqrt(config_.query_pre_attn_scalar),
                                       .window = slides ? config_.sliding_window : 0,
                                       .soft_cap = config_.attn_logit_softcapping});
    }

    GemmaConfig config_;
    nn::RotaryTable global_rotary_;
    nn::RotaryTable local_rotary_;
    at::Tensor final_norm_;
    std::vector<Layer> layers_;
};

/// The embedding leaves scaled: memory enters behind the scaling.
std::unique_ptr<CausalLM> build_gemma(const GemmaConfig& c, const nn::WeightReader& weights,
                                      const Names& names = {}) {
    const nn::Embedding embedding(
        weights.matrix(names.body + "embed_tokens.weight", {c.sizes.vocab_size, c.sizes.hidden_size}),
        std::sqrt(static_cast<double>(c.sizes.hidden_size)));
    return std::make_unique<Gemma>(c, weights, names, embedding);
}

Description describe_gemma2(const hub::ModelConfig& config) {
    return describe_gemma(read_gemma2(config));
}
Description describe_gemma3(const hub::ModelConfig& config) {
    return describe_gemma(read_gemma3(config));
}
Description describe_gemma3_beside_images(const hub::ModelConfig& config) {
    return describe_gemma(read_gemma3_beside_images(config));
}
std::unique_ptr<CausalLM> build_gemma2(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return build_gemma(read_gemma2(config), weights);
}
std::unique_ptr<CausalLM> build_gemma3(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return build_gemma(read_gemma3(config), weights);
}
std::unique_ptr<CausalLM> build_gemma3_beside_images(const hub::ModelConfig& config,
                                                     const nn::WeightReader& weights) {
    return build_gemma(read_gemma3_beside_images(config), weights, names_beside_images(weights));
}

}  // namespace

const Family kGemma2{.architecture = "Gemma2ForCausalLM", .describe = describe_gemma2, .build = build_gemma2};
const Family kGemma3{.architecture = "Gemma3ForCausalLM", .describe = describe_gemma3, .build = build_gemma3};
const Family kGemma3BesideImages{.architecture = "Gemma3ForConditionalGeneration",
                                 .describe = describe_gemma3_beside_images,
                                 .build = build_gemma3_beside_images};

}  // namespace memcap::models::families
