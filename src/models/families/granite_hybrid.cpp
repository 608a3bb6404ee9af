// Granite 4 hybrids without experts: layers of Mamba-2 or of attention, each with a gated MLP behind it.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/family.hpp"
#include "models/families/mamba2_mixer.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' GraniteMoeHybridConfig that decide the numbers, under their names there.
struct GraniteHybridConfig {
    Sizes sizes;  ///< intermediate_size of the MLP that all rows pass: shared_intermediate_size
    double rms_norm_eps;
    Bias attention_bias;
    bool tie_word_embeddings;
    nn::Activation hidden_act;
    double embedding_multiplier;
    double attention_multiplier;
    double residual_multiplier;
    double logits_scaling;
    std::vector<bool> attends;               ///< by layer: attention, else a mixer
    std::optional<nn::RotaryConfig> rotary;  ///< none: no positions
    Mamba2MixerConfig mixer;
};

std::vector<bool> read_attention_layers(const hub::ModelConfig& config, std::int32_t layers) {
    // Also written as layers_block_type.
    const char* key = config.has("layer_types") ? "layer_types" : "layers_block_type";
    if (!config.has(key)) return std::vector<bool>(static_cast<std::size_t>(layers), false);
    std::vector<bool> attends;
    for (const std::string& type : config.texts(key)) {
        const bool attention = type == "attention" || type == "full_attention";
        if (!attention && type != "mamba" && type != "linear_attention")
            config.reject(key, fmt::format("'{}' is not supported", type));
        attends.push_back(attention);
    }
    if (attends.size() != static_cast<std::size_t>(layers))
        config.reject(key, fmt::format("it names {} layers of {}", attends.size(), layers));
    return attends;
}

Mamba2MixerConfig read_mixer(const hub::ModelConfig& config, std::int64_t hidden, double epsilon,
                             nn::Activation activation) {
    const std::int64_t channels = config.size("mamba_expand", 2) * hidden;
    const std::int32_t heads = config.size("mamba_n_heads", 128);
    const bool divided = !config.has("mamba_d_head") || config.is_text("mamba_d_head");
    Mamba2MixerConfig mixer{
        .hidden_size = hidden,
        .intermediate_size = channels,
        .num_heads = heads,
        .head_dim = divided ? static_cast<std::int32_t>(channels / heads) : config.size("mamba_d_head"),
        .n_groups = config.size("mamba_n_groups", 1),
        .state_size = config.size("mamba_d_state", 256),
        .conv_kernel = config.size("mamba_d_conv", 4),
        .norm_epsilon = epsilon,
        .shortest_step = 0.0,
        .longest_step = 0.0,
        .conv_bias = Bias{config.boolean("mamba_conv_bias", true)},
        .projection_bias = Bias{config.boolean("mamba_proj_bias", false)},
        .hidden_act = activation};
    complete_mixer(config, "mamba_n_heads", "mamba_n_groups", mixer);
    return mixer;
}

void check_keys(const hub::ModelConfig& config) {
    // intermediate_size is that of experts, and the chunks of the scan change no number.
    config.allow_only(with_size_keys({"rms_norm_eps",
                                      "hidden_act",
                                      "attention_bias",
                                      "embedding_multiplier",
                                      "attention_multiplier",
                                      "residual_multiplier",
                                      "logits_scaling",
                                      "shared_intermediate_size",
                                      "num_local_experts",
                                      "num_experts_per_tok",
                                      "position_embedding_type",
                                      "layer_types",
                                      "layers_block_type",
                                      "mamba_n_heads",
                                      "mamba_n_groups",
                                      "mamba_d_state",
                                      "mamba_d_head",
                                      "mamba_d_conv",
                                      "mamba_expand",
                                      "mamba_chunk_size",
                                      "mamba_conv_bias",
                                      "mamba_proj_bias",
                                      "time_step_limit"}),
                      "granitemoehybrid");
    if (config.integer("num_local_experts", 8) != 0)
        config.reject("num_local_experts", "memcap reads the hybrids without experts (0)");
}

GraniteHybridConfig read_config(const hub::ModelConfig& config) {
    check_keys(config);
    GraniteHybridConfig c{};
    c.sizes = read_sizes(config, {.vocab_size = 32000,
                                  .hidden_size = 4096,
                                  .intermediate_size = 11008,
                                  .num_hidden_layers = 32,
                                  .num_attention_heads = 32,
                                  .num_key_value_heads = 0,
                                  .head_dim = 0,
                                  .max_position_embeddings = 2048});
    c.sizes.intermediate_size = config.size("shared_intermediate_size", 1024);
    c.rms_norm_eps = config.number("rms_norm_eps", 1e-6);
    c.attention_bias = Bias{config.boolean("attention_bias", false)};
    c.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
    c.hidden_act = read_activation(config, "hidden_act", "silu");
    c.embedding_multiplier = config.number("embedding_multiplier", 1.0);
    c.attention_multiplier = config.number("attention_multiplier", 1.0);
    c.residual_multiplier = config.number("residual_multiplier", 1.0);
    c.logits_scaling = config.number("logits_scaling", 1.0);
    if (c.logits_scaling == 0.0) config.reject("logits_scaling", "logits cannot be divided by 0");
    c.attends = read_attention_layers(config, c.sizes.num_hidden_layers);
    if (config.text("position_embedding_type", "nope") == "rope") c.rotary = read_rotary(config, c.sizes);
    c.mixer = read_mixer(config, c.sizes.hidden_size, c.rms_norm_eps, c.hidden_act);
    return c;
}

Description describe(const hub::ModelConfig& config) {
    const GraniteHybridConfig c = read_config(config);
    Description description = c.rotary ? describe_sizes("granite_hybrid", c.sizes, *c.rotary)
                                       : describe_sizes("granite_hybrid", c.sizes);
    const std::int64_t hidden = c.sizes.hidden_size;
    const std::int64_t layers = c.sizes.num_hidden_layers;
    const std::int64_t attending = std::ranges::count(c.attends, true);
    const std::int64_t mixing = layers - attending;
    // As if spread over all layers.
    description.scan_states = c.mixer.intermediate_size * c.mixer.state_size * mixing / layers;
    description.block_parameters =
        layers * (GatedMlp::parameters(c.sizes, Bias::absent) + 2 * hidden) + hidden +
        attending * GroupedAttention::parameters(c.sizes, c.attention_bias, c.attention_bias) +
        mixing * Mamba2Mixer::parameters(c.mixer);
    description.tied_head = c.tie_word_embeddings;
    // The first norm's sum is the input, multiplied.
    description.kept_floats =
        layers * (2 * kept_by_rms_norm(hidden) + std::int64_t{2} * c.sizes.intermediate_size) +
        attending * kept_by_attention(c.sizes) + mixing * Mamba2Mixer::kept(c.mixer) + hidden + 1;
    return description;
}

class GraniteHybrid final : public Decoder {
  public:
    GraniteHybrid(const GraniteHybridConfig& c, Description description, const nn::WeightReader& weights,
                  const nn::Embedding& embedding)
        : Decoder(std::move(description), embedding,
                  {read_head(weights, "lm_head.weight", embedding, c.tie_word_embeddings)}, weights.device()),
          config_(c),
          // Here instead of behind the head, which is linear.
          final_norm_(weights.vector("model.norm.weight", c.sizes.hidden_size).div(c.logits_scaling)) {
        if (c.rotary) rotary_.emplace(*c.rotary, c.rotary->context_tokens, weights.device());
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i)
            layers_.push_back(read_layer(weights, i));
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& /*position_R*/) const override {
        const Layer& first = layers_.front();
        return {project(first, nn::rms_norm(input_RE.mul(config_.embedding_multiplier), first.input_norm,
                                            config_.rms_norm_eps, carried()))};
    }

    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        const double epsilon = config_.rms_norm_eps;
        nn::SumAndNorm x{input_RE * config_.embedding_multiplier, {}};
        const auto add = [&](const at::Tensor& residual, const at::Tensor& norm) {
            x = nn::add_rms_norm(x.sum, residual.mul(config_.residual_multiplier), norm, epsilon, carried());
        };
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const Layer& layer = layers_[i];
            const at::Tensor projected = i == 0 ? row_parts.front() : project(layer, x.normalised);
            add(mix(layer, projected, segments), layer.post_attention_norm);
            add(layer.mlp(x.normalised), i + 1 < layers_.size() ? layers_[i + 1].input_norm : final_norm_);
        }
        return x.normalised;
    }

  private:
    /// Attention or a mixer, and the MLP.
    struct Layer {
        at::Tensor input_norm;
        at::Tensor post_attention_norm;
        std::optional<GroupedAttention> attention;
        std::optional<Mamba2Mixer> mixer;
        GatedMlp mlp;
    };

    Layer read_layer(const nn::WeightReader& weights, std::int32_t index) const {
        const std::string scope = fmt::format("model.layers.{}.", index);
        const std::int64_t hidden = config_.sizes.hidden_size;
        const std::int64_t inner = config_.sizes.intermediate_size;
        Layer layer{
            .input_norm = weights.vector(scope + "input_layernorm.weight", hidden),
            .post_attention_norm = weights.vector(scope + "post_attention_layernorm.weight", hidden),
            .attention = {},
            .mixer = {},
            .mlp = {
                read_linear(weights, scope, {"shared_mlp.input_linear"}, {2 * inner}, hidden, Bias::absent),
                read_linear(weights, scope, {"shared_mlp.output_linear"}, {hidden}, inner, Bias::absent),
                config_.hidden_act}};
        if (config_.attends[static_cast<std::size_t>(index)]) {
            layer.attention.emplace(weights, scope, config_.sizes, config_.attention_bias,
                                    config_.attention_bias);
        } else {
            layer.mixer.emplace(weights, scope + "mamba.", config_.mixer);
        }
        return layer;
    }

    static at::Tensor project(const Layer& layer, const at::Tensor& x_RD) {
        return layer.attention ? layer.attention->project(x_RD) : layer.mixer->project(x_RD);
    }

    at::Tensor mix(const Layer& layer, const at::Tensor& projected, const nn::Segments& segments) const {
        if (!layer.attention) return layer.mixer->mix(projected, segments);
        return layer.attention->attend(projected, segments, rotary_ ? &*rotary_ : nullptr,
                                       {.scale = config_.attention_multiplier});
    }

    GraniteHybridConfig config_;
    std::optional<nn::RotaryTable> rotary_;
    at::Tensor final_norm_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const GraniteHybridConfig c = read_config(config);
    const nn::Embedding embedding(
        weights.matrix("model.embed_tokens.weight", {c.sizes.vocab_size, c.sizes.hidden_size}));
    return std::make_unique<GraniteHybrid>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kGraniteHybrid{
    .architecture = "GraniteMoeHybridForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
