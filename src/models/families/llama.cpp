// Llama 2 and 3, and what shares their architecture: RMSNorm, rotary attention with grouped keys, SwiGLU.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>
#include <vector>

#include "memcap/nn/attention.hpp"
#include "memcap/nn/gated_mlp.hpp"
#include "memcap/nn/linear.hpp"
#include "memcap/nn/norm.hpp"
#include "memcap/nn/rotary.hpp"
#include "models/families/family.hpp"

// Shapes: B slots, T positions, D hidden width, H query heads, G key/value heads, d head width.
namespace memcap::models::families {

namespace {

/// The keys of transformers' LlamaConfig that decide the numbers, under their names there.
struct LlamaConfig {
    std::int32_t vocab_size;
    std::int32_t hidden_size;
    std::int32_t intermediate_size;
    std::int32_t num_hidden_layers;
    std::int32_t num_attention_heads;
    std::int32_t num_key_value_heads;
    std::int32_t head_dim;
    std::int32_t max_position_embeddings;
    double rms_norm_eps;
    bool attention_bias;
    bool mlp_bias;
    bool tie_word_embeddings;
    nn::RotaryConfig rotary;
};

void read_rope_scaling(const hub::ModelConfig& scaling, nn::RotaryConfig& rotary) {
    scaling.allow_only({"rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
                        "original_max_position_embeddings"});
    rotary.theta = scaling.number("rope_theta", rotary.theta);
    // Written as `type` until 2024.
    const std::string type = scaling.text("rope_type", scaling.text("type", "default"));
    if (type == "default") return;
    if (type == "linear") {
        rotary.linear_factor = scaling.number("factor");
    } else if (type == "llama3") {
        rotary.llama3 = nn::Llama3Scaling{
            .factor = scaling.number("factor"),
            .low_frequency_factor = scaling.number("low_freq_factor"),
            .high_frequency_factor = scaling.number("high_freq_factor"),
            .original_context_tokens = static_cast<double>(scaling.size("original_max_position_embeddings"))};
    } else {
        scaling.reject("rope_type",
                       fmt::format("'{}' is not supported: memcap has default, linear and llama3", type));
    }
}

LlamaConfig read_config(const hub::ModelConfig& config) {
    config.allow_only({"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                       "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings",
                       "rms_norm_eps", "attention_bias", "mlp_bias", "tie_word_embeddings", "rope_theta",
                       "rope_scaling", "rope_parameters", "hidden_act"});
    LlamaConfig c{};
    c.vocab_size = config.size("vocab_size", 32000);
    c.hidden_size = config.size("hidden_size", 4096);
    c.intermediate_size = config.size("intermediate_size", 11008);
    c.num_hidden_layers = config.size("num_hidden_layers", 32);
    c.num_attention_heads = config.size("num_attention_heads", 32);
    c.num_key_value_heads = config.size("num_key_value_heads", c.num_attention_heads);
    if (!config.has("head_dim") && c.hidden_size % c.num_attention_heads != 0) {
        config.reject("num_attention_heads", "it does not divide hidden_size, and there is no head_dim");
    }
    c.head_dim = config.size("head_dim", c.hidden_size / c.num_attention_heads);
    c.max_position_embeddings = config.size("max_position_embeddings", 2048);
    c.rms_norm_eps = config.number("rms_norm_eps", 1e-6);
    c.attention_bias = config.boolean("attention_bias", false);
    c.mlp_bias = config.boolean("mlp_bias", false);
    c.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
    if (c.num_attention_heads % c.num_key_value_heads != 0) {
        config.reject("num_key_value_heads", "it does not divide num_attention_heads");
    }
    if (c.head_dim % 2 != 0) config.reject("head_dim", "rotary embedding needs an even head width");
    if (const auto act = config.text("hidden_act", "silu"); act != "silu") {
        config.reject("hidden_act", fmt::format("'{}' is not supported: Llama uses silu", act));
    }
    c.rotary = {.head_width = c.head_dim,
                .theta = config.number("rope_theta", 10000.0),
                .linear_factor = 1.0,
                .llama3 = {}};
    // transformers 5 writes rope_parameters; before, it wrote rope_theta and rope_scaling.
    if (const auto scaling = config.object("rope_scaling")) read_rope_scaling(*scaling, c.rotary);
    if (const auto parameters = config.object("rope_parameters")) read_rope_scaling(*parameters, c.rotary);
    return c;
}

Description describe(const hub::ModelConfig& config) {
    const LlamaConfig c = read_config(config);
    const std::int64_t hidden = c.hidden_size;
    const std::int64_t query = std::int64_t{c.num_attention_heads} * c.head_dim;
    const std::int64_t key = std::int64_t{c.num_key_value_heads} * c.head_dim;
    const std::int64_t mlp = c.intermediate_size;
    std::int64_t layer = hidden * (query + 2 * key) + query * hidden + 3 * hidden * mlp + 2 * hidden;
    if (c.attention_bias) layer += query + 2 * key + hidden;
    if (c.mlp_bias) layer += 2 * mlp + hidden;
    return {.family = "llama",
            .layers = c.num_hidden_layers,
            .width = c.hidden_size,
            .memory_width = c.hidden_size,
            .query_heads = c.num_attention_heads,
            .key_value_heads = c.num_key_value_heads,
            .head_width = c.head_dim,
            .mlp_width = c.intermediate_size,
            .context_tokens = c.max_position_embeddings,
            .vocabulary_size = c.vocab_size,
            .embedding_parameters = hidden * c.vocab_size,
            .block_parameters = layer * c.num_hidden_layers + hidden,
            .head_parameters = hidden * c.vocab_size,
            .tied_head = c.tie_word_embeddings};
}

struct Layer {
    at::Tensor input_norm;
    at::Tensor post_attention_norm;
    nn::Linear query_key_value;
    nn::Linear output;
    nn::Linear gate_up;
    nn::Linear down;
};

Layer read_layer(const LlamaConfig& c, const nn::WeightReader& weights, std::int32_t index) {
    const std::string scope = fmt::format("model.layers.{}.", index);
    const std::int64_t query = std::int64_t{c.num_attention_heads} * c.head_dim;
    const std::int64_t key = std::int64_t{c.num_key_value_heads} * c.head_dim;
    const auto linear = [&](std::vector<std::string> names, const std::vector<std::int64_t>& rows,
                            std::int64_t columns, bool has_bias) {
        std::vector<std::string> matrices;
        std::vector<std::string> biases;
        for (const auto& name : names) {
            matrices.push_back(scope + name + ".weight");
            biases.push_back(scope + name + ".bias");
        }
        return nn::Linear(weights.stacked_matrix(matrices, rows, columns),
                          has_bias ? weights.stacked_vector(biases, rows) : at::Tensor(), weights.mode());
    };
    return {.input_norm = weights.vector(scope + "input_layernorm.weight", c.hidden_size),
            .post_attention_norm = weights.vector(scope + "post_attention_layernorm.weight", c.hidden_size),
            .query_key_value = linear({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                                      {query, key, key}, c.hidden_size, c.attention_bias),
            .output = linear({"self_attn.o_proj"}, {c.hidden_size}, query, c.attention_bias),
            .gate_up = linear({"mlp.gate_proj", "mlp.up_proj"}, {c.intermediate_size, c.intermediate_size},
                              c.hidden_size, c.mlp_bias),
            .down = linear({"mlp.down_proj"}, {c.hidden_size}, c.intermediate_size, c.mlp_bias)};
}

class Llama final : public CausalLM {
  public:
    Llama(const hub::ModelConfig& config, const nn::WeightReader& weights)
        : config_(read_config(config)),
          description_(families::describe(config)),
          device_(weights.device()),
          rotary_(config_.rotary, config_.max_position_embeddings, weights.device()),
          embedding_(weights.matrix("model.embed_tokens.weight", {config_.vocab_size, config_.hidden_size})),
          final_norm_(weights.vector("model.norm.weight", config_.hidden_size)),
          head_(read_head(weights), at::Tensor(), weights.mode()),
          embedding_std_(embedding_.is_meta() ? 0.0 : embedding_.to(at::kFloat).std().item<double>()) {
        for (std::int32_t i = 0; i < config_.num_hidden_layers; ++i)
            layers_.push_back(read_layer(config_, weights, i));
    }

    const Description& description() const override { return description_; }
    const nn::Linear& head() const override { return head_; }
    double embedding_std() const override { return embedding_std_; }
    at::Device device() const override { return device_; }

    at::Tensor embed(const at::Tensor& tokens) const override {
        return embedding_.index_select(0, tokens.flatten()).to(at::kFloat).unflatten(0, tokens.sizes());
    }

    at::Tensor hidden(const at::Tensor& input_BTE) const override {
        at::Tensor x_BTD = input_BTE;
        for (const Layer& layer : layers_) {
            x_BTD = x_BTD + attention(layer, nn::rms_norm(x_BTD, layer.input_norm, config_.rms_norm_eps));
            x_BTD = x_BTD + mlp(layer, nn::rms_norm(x_BTD, layer.post_attention_norm, config_.rms_norm_eps));
        }
        return nn::rms_norm(x_BTD, final_norm_, config_.rms_norm_eps);
    }

  private:
    /// transformers ties only a head that the files lack, whatever `tie_word_embeddings` says of one that
    /// they hold.
    at::Tensor read_head(const nn::WeightReader& weights) const {
        if (weights.contains("lm_head.weight") || !config_.tie_word_embeddings) {
            return weights.matrix("lm_head.weight", {config_.vocab_size, config_.hidden_size});
        }
        return embedding_;
    }

    at::Tensor attention(const Layer& layer, const at::Tensor& x_BTD) const {
        const std::int64_t query_heads = config_.num_attention_heads;
        const std::int64_t key_heads = config_.num_key_value_heads;
        const at::Tensor heads_BTHd =
            layer.query_key_value(x_BTD).unflatten(-1, {query_heads + 2 * key_heads, config_.head_dim});
        // Queries and keys lie side by side and take the same rotation.
        const at::Tensor rotated = rotary_.rotate(heads_BTHd.narrow(2, 0, query_heads + key_heads));
        const at::Tensor mixed =
            nn::causal_attention(rotated.narrow(2, 0, query_heads), rotated.narrow(2, query_heads, key_heads),
                                 heads_BTHd.narrow(2, query_heads + key_heads, key_heads),
                                 1.0 / std::sqrt(static_cast<double>(config_.head_dim)), layer.output.mode());
        return layer.output(mixed);
    }

    static at::Tensor mlp(const Layer& layer, const at::Tensor& x_BTD) {
        return layer.down(nn::silu_gate(layer.gate_up(x_BTD)));
    }

    LlamaConfig config_;
    Description description_;
    at::Device device_;
    nn::RotaryTable rotary_;
    at::Tensor embedding_;  // [V, D]
    at::Tensor final_norm_;
    nn::Linear head_;
    double embedding_std_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Llama>(config, weights);
}

}  // namespace

const Family kLlama{.architecture = "LlamaForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
