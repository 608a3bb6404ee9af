// GPT-2: learned positions, LayerNorm, matrices stored transposed.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <vector>

#include "memcap/nn/norm.hpp"
#include "models/families/blocks.hpp"
#include "models/families/family.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' GPT2Config that decide the numbers, under their names there.
struct Gpt2Config {
    Sizes sizes;  ///< n_embd, n_inner, n_layer, n_head, n_positions
    double layer_norm_epsilon;
    bool scale_attn_weights;
    bool scale_attn_by_inverse_layer_idx;
    bool tie_word_embeddings;
    nn::Activation activation_function;
};

Gpt2Config read_config(const hub::ModelConfig& config) {
    // n_ctx repeats n_positions.
    config.allow_only({"vocab_size", "n_positions", "n_ctx", "n_embd", "n_layer", "n_head", "n_inner",
                       "activation_function", "layer_norm_epsilon", "scale_attn_weights",
                       "scale_attn_by_inverse_layer_idx", "tie_word_embeddings"},
                      "gpt2");
    Gpt2Config c{};
    c.sizes.vocab_size = config.size("vocab_size", 50257);
    c.sizes.hidden_size = config.size("n_embd", 768);
    c.sizes.intermediate_size = config.size("n_inner", 4 * c.sizes.hidden_size);
    c.sizes.num_hidden_layers = config.size("n_layer", 12);
    c.sizes.num_attention_heads = config.size("n_head", 12);
    c.sizes.num_key_value_heads = c.sizes.num_attention_heads;
    if (c.sizes.hidden_size % c.sizes.num_attention_heads != 0)
        config.reject("n_head", "it does not divide n_embd");
    c.sizes.head_dim = c.sizes.hidden_size / c.sizes.num_attention_heads;
    c.sizes.max_position_embeddings = config.size("n_positions", 1024);
    c.layer_norm_epsilon = config.number("layer_norm_epsilon", 1e-5);
    c.scale_attn_weights = config.boolean("scale_attn_weights", true);
    c.scale_attn_by_inverse_layer_idx = config.boolean("scale_attn_by_inverse_layer_idx", false);
    c.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
    c.activation_function = read_activation(config, "activation_function", "gelu_new");
    return c;
}

Description describe(const hub::ModelConfig& config) {
    const Gpt2Config c = read_config(config);
    Description description = describe_sizes("gpt2", c.sizes);
    const std::int64_t hidden = c.sizes.hidden_size;
    const std::int64_t inner = c.sizes.intermediate_size;
    const std::int64_t layer = GroupedAttention::parameters(c.sizes, Bias::present, Bias::present) +
                               2 * hidden * inner + inner + hidden + 4 * hidden;
    description.block_parameters = layer * c.sizes.num_hidden_layers + 2 * hidden;
    description.embedding_parameters += hidden * c.sizes.max_position_embeddings;
    description.tied_head = c.tie_word_embeddings;
    description.kept_floats =
        (2 * kept_by_layer_norm(hidden) + kept_by_attention(c.sizes) + inner) * c.sizes.num_hidden_layers +
        kept_by_layer_norm(hidden);
    return description;
}

struct Layer {
    Norm attention_norm;
    nn::Linear query_key_value;
    nn::Linear output;
    Norm mlp_norm;
    nn::Linear up;
    nn::Linear down;
};

class Gpt2 final : public Decoder {
  public:
    Gpt2(const Gpt2Config& c, Description description, const nn::WeightReader& weights,
         const nn::Embedding& embedding)
        : Decoder(std::move(description), embedding,
                  {read_head(weights, "lm_head.weight", embedding, c.tie_word_embeddings)}, weights.device()),
          config_(c),
          scope_(scope_of(weights)),
          positions_(
              weights.matrix(scope_ + "wpe.weight", {c.sizes.max_position_embeddings, c.sizes.hidden_size})
                  .to(at::kFloat)),
          final_norm_(read_norm(weights, scope_ + "ln_f", c.sizes.hidden_size)) {
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i)
            layers_.push_back(read_layer(weights, i));
    }

    /// The first published files lack the leading `transformer.`.
    static std::string scope_of(const nn::WeightReader& weights) {
        return weights.contains("wte.weight") ? "" : "transformer.";
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& position_R) const override {
        return {project(layers_.front(), placed(input_RE, position_R))};
    }

    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        at::Tensor x_RD = placed(input_RE, segments.positions());
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const at::Tensor projected = i == 0 ? row_parts.front() : project(layers_[i], x_RD);
            x_RD = x_RD + attention(i, projected, segments);
            x_RD = x_RD + mlp(layers_[i], normed(x_RD, layers_[i].mlp_norm));
        }
        return normed(x_RD, final_norm_);
    }

  private:
    Layer read_layer(const nn::WeightReader& weights, std::int32_t index) const {
        const std::string scope = scope_ + fmt::format("h.{}.", index);
        const std::int64_t width = config_.sizes.hidden_size;
        const std::int64_t inner = config_.sizes.intermediate_size;
        // transformers' Conv1D keeps [inputs, outputs].
        const auto linear = [&](const char* name, std::int64_t rows, std::int64_t columns) {
            return nn::Linear(weights.matrix(scope + name + ".weight", {columns, rows}).t(),
                              weights.vector(scope + name + ".bias", rows), weights.mode());
        };
        return {.attention_norm = read_norm(weights, scope + "ln_1", width),
                .query_key_value = linear("attn.c_attn", 3 * width, width),
                .output = linear("attn.c_proj", width, width),
                .mlp_norm = read_norm(weights, scope + "ln_2", width),
                .up = linear("mlp.c_fc", inner, width),
                .down = linear("mlp.c_proj", width, inner)};
    }

    at::Tensor normed(const at::Tensor& x, const Norm& norm) const {
        return nn::layer_norm(x, norm.weight, norm.bias, config_.layer_norm_epsilon, carried());
    }

    at::Tensor placed(const at::Tensor& input_RE, const at::Tensor& position_R) const {
        return input_RE + positions_.index_select(0, position_R);
    }

    at::Tensor project(const Layer& layer, const at::Tensor& x_RD) const {
        return layer.query_key_value(normed(x_RD, layer.attention_norm));
    }

    at::Tensor attention(std::size_t index, const at::Tensor& projected, const nn::Segments& segments) const {
        const Layer& layer = layers_[index];
        const std::int64_t heads = config_.sizes.num_attention_heads;
        double scale = config_.scale_attn_weights ? inverse_root(config_.sizes.head_dim) : 1.0;
        if (config_.scale_attn_by_inverse_layer_idx) scale /= static_cast<double>(index + 1);
        return layer.output(nn::causal_attention(
            projected, segments, nn::HeadLayout::stacked(heads, heads, config_.sizes.head_dim), nullptr,
            {.scale = scale}, layer.output.mode()));
    }

    at::Tensor mlp(const Layer& layer, const at::Tensor& normed_RD) const {
        return layer.down(nn::activate(layer.up(normed_RD), config_.activation_function));
    }

    Gpt2Config config_;
    std::string scope_;
    at::Tensor positions_;  // [positions, D]
    Norm final_norm_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const auto c = read_config(config);
    const nn::Embedding embedding(
        weights.matrix(Gpt2::scope_of(weights) + "wte.weight", {c.sizes.vocab_size, c.sizes.hidden_size}));
    return std::make_unique<Gpt2>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kGpt2{.architecture = "GPT2LMHeadModel", .describe = describe, .build = build};

}  // namespace memcap::models::families
