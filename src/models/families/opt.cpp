// OPT: learned positions, ReLU; norms before or behind each half of a layer; embeddings of another width.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/blocks.hpp"
#include "models/families/family.hpp"

namespace memcap::models::families {

namespace {

/// torch's default, which no key of the configuration changes.
constexpr double kNormEpsilon = 1e-5;
/// Rows of the table of positions before that of position 0 (OPTLearnedPositionalEmbedding).
constexpr std::int64_t kPositionOffset = 2;

/// The keys of transformers' OPTConfig that decide the numbers, under their names there.
struct OptConfig {
    Sizes sizes;
    std::int32_t word_embed_proj_dim;
    bool do_layer_norm_before;
    bool has_final_norm;
    bool layer_norm_elementwise_affine;
    Bias enable_bias;
    bool tie_word_embeddings;
    nn::Activation activation_function;

    bool projects() const { return word_embed_proj_dim != sizes.hidden_size; }
};

OptConfig read_config(const hub::ModelConfig& config) {
    config.allow_only(
        {"vocab_size", "hidden_size", "ffn_dim", "num_hidden_layers", "num_attention_heads",
         "max_position_embeddings", "word_embed_proj_dim", "do_layer_norm_before", "_remove_final_layer_norm",
         "layer_norm_elementwise_affine", "enable_bias", "tie_word_embeddings", "activation_function"},
        "opt");
    OptConfig c{};
    c.sizes.vocab_size = config.size("vocab_size", 50272);
    c.sizes.hidden_size = config.size("hidden_size", 768);
    c.sizes.intermediate_size = config.size("ffn_dim", 3072);
    c.sizes.num_hidden_layers = config.size("num_hidden_layers", 12);
    c.sizes.num_attention_heads = config.size("num_attention_heads", 12);
    c.sizes.num_key_value_heads = c.sizes.num_attention_heads;
    if (c.sizes.hidden_size % c.sizes.num_attention_heads != 0)
        config.reject("num_attention_heads", "it does not divide hidden_size");
    c.sizes.head_dim = c.sizes.hidden_size / c.sizes.num_attention_heads;
    c.sizes.max_position_embeddings = config.size("max_position_embeddings", 2048);
    c.word_embed_proj_dim = config.size("word_embed_proj_dim", c.sizes.hidden_size);
    c.do_layer_norm_before = config.boolean("do_layer_norm_before", true);
    c.has_final_norm = c.do_layer_norm_before && !config.boolean("_remove_final_layer_norm", false);
    c.layer_norm_elementwise_affine = config.boolean("layer_norm_elementwise_affine", true);
    c.enable_bias = Bias{config.boolean("enable_bias", true)};
    c.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
    c.activation_function = read_activation(config, "activation_function", "relu");
    return c;
}

Description describe(const hub::ModelConfig& config) {
    const OptConfig c = read_config(config);
    Description description = describe_sizes("opt", c.sizes);
    const std::int64_t hidden = c.sizes.hidden_size;
    const std::int64_t inner = c.sizes.intermediate_size;
    const std::int64_t norm = c.layer_norm_elementwise_affine ? 2 * hidden : 0;
    const std::int64_t biases = c.enable_bias == Bias::present ? inner + hidden : 0;
    const std::int64_t layer = GroupedAttention::parameters(c.sizes, c.enable_bias, c.enable_bias) +
                               2 * hidden * inner + biases + 2 * norm;
    const std::int64_t projections = c.projects() ? 2 * hidden * c.word_embed_proj_dim : 0;
    description.block_parameters =
        layer * c.sizes.num_hidden_layers + (c.has_final_norm ? norm : 0) + projections;
    description.memory_width = c.word_embed_proj_dim;
    description.head_parameters = std::int64_t{c.word_embed_proj_dim} * c.sizes.vocab_size;
    description.embedding_parameters =
        description.head_parameters + hidden * (c.sizes.max_position_embeddings + kPositionOffset);
    description.tied_head = c.tie_word_embeddings;
    description.kept_floats =
        (2 * kept_by_layer_norm(hidden) + kept_by_attention(c.sizes) + inner) * c.sizes.num_hidden_layers +
        (c.has_final_norm ? kept_by_layer_norm(hidden) : 0);
    return description;
}

struct Layer {
    Norm attention_norm;
    nn::Linear query_key_value;
    nn::Linear output;
    Norm final_norm;
    nn::Linear up;
    nn::Linear down;
};

class Opt final : public Decoder {
  public:
    Opt(const OptConfig& c, Description description, const nn::WeightReader& weights,
        const nn::Embedding& embedding)
        : Decoder(std::move(description), embedding,
                  {read_head(weights, "lm_head.weight", embedding, c.tie_word_embeddings)}, weights.device()),
          config_(c),
          scope_(scope_of(weights)),
          positions_(weights
                         .matrix(scope_ + "embed_positions.weight",
                                 {c.sizes.max_position_embeddings + kPositionOffset, c.sizes.hidden_size})
                         .to(at::kFloat)) {
        const std::int64_t width = c.sizes.hidden_size;
        const std::int64_t input = c.word_embed_proj_dim;
        if (c.projects()) {
            project_in_ = read_linear(weights, scope_, {"project_in"}, {width}, input, Bias::absent);
            project_out_ = read_linear(weights, scope_, {"project_out"}, {input}, width, Bias::absent);
        }
        if (c.has_final_norm) final_norm_ = norm_of(weights, scope_ + "final_layer_norm");
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i)
            layers_.push_back(read_layer(weights, i));
    }

    /// Some of the published files lack the leading `model.`.
    static std::string scope_of(const nn::WeightReader& weights) {
        return weights.contains("decoder.embed_tokens.weight") ? "decoder." : "model.decoder.";
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& position_R) const override {
        const at::Tensor x_RD = placed(input_RE, position_R);
        return {project(layers_.front(), x_RD), x_RD};
    }

    at::Tensor hidden(const at::Tensor& /*input_RE*/, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        at::Tensor x_RD = row_parts.back();
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const Layer& layer = layers_[i];
            const at::Tensor attended_RD =
                attention(layer, i == 0 ? row_parts.front() : project(layer, x_RD), segments);
            if (config_.do_layer_norm_before) {
                x_RD = x_RD + attended_RD;
                x_RD = x_RD + mlp(layer, normed(x_RD, layer.final_norm, carried()));
            } else {
                x_RD = normed(x_RD + attended_RD, layer.attention_norm, at::kFloat);
                x_RD = normed(x_RD + mlp(layer, x_RD), layer.final_norm, at::kFloat);
            }
        }
        if (config_.has_final_norm) x_RD = normed(x_RD, final_norm_, carried());
        return config_.projects() ? project_out_(x_RD) : x_RD;
    }

  private:
    Norm norm_of(const nn::WeightReader& weights, const std::string& name) const {
        return config_.layer_norm_elementwise_affine ? read_norm(weights, name, config_.sizes.hidden_size)
                                                     : Norm{};
    }

    Layer read_layer(const nn::WeightReader& weights, std::int32_t index) const {
        const std::string scope = scope_ + fmt::format("layers.{}.", index);
        const std::int64_t width = config_.sizes.hidden_size;
        const std::int64_t inner = config_.sizes.intermediate_size;
        const Bias bias = config_.enable_bias;
        return {.attention_norm = norm_of(weights, scope + "self_attn_layer_norm"),
                .query_key_value =
                    read_linear(weights, scope, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                                {width, width, width}, width, bias),
                .output = read_linear(weights, scope, {"self_attn.out_proj"}, {width}, width, bias),
                .final_norm = norm_of(weights, scope + "final_layer_norm"),
                .up = read_linear(weights, scope, {"fc1"}, {inner}, width, bias),
                .down = read_linear(weights, scope, {"fc2"}, {width}, inner, bias)};
    }

    static at::Tensor normed(const at::Tensor& x, const Norm& norm, at::ScalarType result) {
        return nn::layer_norm(x, norm.weight, norm.bias, kNormEpsilon, result);
    }

    at::Tensor placed(const at::Tensor& input_RE, const at::Tensor& position_R) const {
        const at::Tensor x_RD = config_.projects() ? project_in_(input_RE) : input_RE;
        return x_RD + positions_.index_select(0, position_R + kPositionOffset);
    }

    at::Tensor project(const Layer& layer, const at::Tensor& x_RD) const {
        return layer.query_key_value(
            config_.do_layer_norm_before ? normed(x_RD, layer.attention_norm, carried()) : x_RD);
    }

    at::Tensor attention(const Layer& layer, const at::Tensor& projected,
                         const nn::Segments& segments) const {
        const std::int64_t heads = config_.sizes.num_attention_heads;
        return layer.output(nn::causal_attention(
            projected, segments, nn::HeadLayout::stacked(heads, heads, config_.sizes.head_dim), nullptr,
            {.scale = inverse_root(config_.sizes.head_dim)}, layer.output.mode()));
    }

    at::Tensor mlp(const Layer& layer, const at::Tensor& x_RD) const {
        return layer.down(nn::activate(layer.up(x_RD), config_.activation_function));
    }

    OptConfig config_;
    std::string scope_;
    at::Tensor positions_;  // [positions + 2, D]
    nn::Linear project_in_;
    nn::Linear project_out_;
    Norm final_norm_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const auto c = read_config(config);
    const nn::Embedding embedding(weights.matrix(Opt::scope_of(weights) + "embed_tokens.weight",
                                                 {c.sizes.vocab_size, c.word_embed_proj_dim}));
    return std::make_unique<Opt>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kOpt{.architecture = "OPTForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
