// Qwen3 of experts: Qwen3 whose MLPs are, in all or some layers, mixtures of experts.

#include <algorithm>
#include <vector>

#include "models/families/experts.hpp"
#include "models/families/family.hpp"
#include "models/families/pre_norm_decoder.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Qwen3MoeConfig that decide the numbers, under their names there.
struct Qwen3MoeConfig {
    PreNormConfig common;
    Bias attention_bias;
    std::int64_t window;  ///< of all layers; 0: none
    ExpertsConfig experts;
    std::vector<bool> sparse;  ///< by layer: whether it has experts
    nn::RotaryConfig rotary;
};

ExpertsConfig read_experts(const hub::ModelConfig& config, nn::Activation activation) {
    // Written as num_local_experts by transformers 5.
    const bool renamed = config.has("num_local_experts");
    if (renamed && config.has("num_experts") &&
        config.size("num_experts") != config.size("num_local_experts"))
        config.reject("num_local_experts", "num_experts says another number");
    const ExpertsConfig experts{
        .num_experts = config.size(renamed ? "num_local_experts" : "num_experts", 128),
        .num_experts_per_tok = config.size("num_experts_per_tok", 8),
        .moe_intermediate_size = config.size("moe_intermediate_size", 768),
        .norm_topk_prob = config.boolean("norm_topk_prob", false),
        .hidden_act = activation};
    if (experts.num_experts_per_tok > experts.num_experts)
        config.reject("num_experts_per_tok", "it is larger than the number of experts");
    return experts;
}

std::vector<bool> read_sparse_layers(const hub::ModelConfig& config, std::int32_t layers) {
    const std::int32_t step = config.size("decoder_sparse_step", 1);
    const auto dense =
        config.has("mlp_only_layers") ? config.integers("mlp_only_layers") : std::vector<std::int64_t>{};
    std::vector<bool> sparse;
    for (std::int32_t i = 0; i < layers; ++i)
        sparse.push_back((i + 1) % step == 0 && std::ranges::find(dense, i) == dense.end());
    return sparse;
}

Qwen3MoeConfig read_config(const hub::ModelConfig& config) {
    config.allow_only(
        with_size_keys({"rms_norm_eps", "hidden_act", "attention_bias", "use_sliding_window",
                        "sliding_window", "decoder_sparse_step", "mlp_only_layers", "moe_intermediate_size",
                        "num_experts", "num_local_experts", "num_experts_per_tok", "norm_topk_prob"}),
        "qwen3_moe");
    const Sizes sizes = read_sizes(config, {.vocab_size = 151936,
                                            .hidden_size = 2048,
                                            .intermediate_size = 6144,
                                            .num_hidden_layers = 24,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 4,
                                            .head_dim = 0,
                                            .max_position_embeddings = 32768});
    const PreNormConfig common = read_pre_norm_config(config, sizes, 1e-6, false);
    const bool slides = config.boolean("use_sliding_window", false) && !config.is_null("sliding_window");
    return {.common = common,
            .attention_bias = Bias{config.boolean("attention_bias", false)},
            .window = slides ? config.size("sliding_window", 4096) : 0,
            .experts = read_experts(config, common.hidden_act),
            .sparse = read_sparse_layers(config, sizes.num_hidden_layers),
            .rotary = read_rotary(config, sizes)};
}

Description describe(const hub::ModelConfig& config) {
    const Qwen3MoeConfig c = read_config(config);
    const Sizes& sizes = c.common.sizes;
    const std::int64_t hidden = sizes.hidden_size;
    const std::int64_t dense = GatedMlp::parameters(sizes, Bias::absent);
    Description description =
        describe_pre_norm("qwen3_moe", c.common, c.rotary,
                          GroupedAttention::parameters(sizes, c.attention_bias, c.attention_bias) +
                              std::int64_t{2} * sizes.head_dim,
                          dense);
    const auto sparse_layers = std::ranges::count(c.sparse, true);
    description.block_parameters += sparse_layers * (ExpertsMlp::parameters(hidden, c.experts) - dense);
    description.idle_parameters = sparse_layers * ExpertsMlp::idle_parameters(hidden, c.experts);
    description.kept_floats +=
        kept_by_head_norms(sizes) * sizes.num_hidden_layers +
        sparse_layers * (ExpertsMlp::kept(hidden, c.experts) - std::int64_t{2} * sizes.intermediate_size);
    return description;
}

class Qwen3Moe final : public PreNormDecoder {
  public:
    Qwen3Moe(const Qwen3MoeConfig& c, Description description, const nn::WeightReader& weights)
        : PreNormDecoder(c.common, std::move(description), weights,
                         [&](const std::string& scope, std::size_t layer) {
                             return read_parts(c, weights, scope, layer);
                         }),
          window_(c.window),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()),
          head_norms_(read_head_norms(weights, "model.", c.common.sizes)) {}

  private:
    static Parts read_parts(const Qwen3MoeConfig& c, const nn::WeightReader& weights,
                            const std::string& scope, std::size_t layer) {
        const Sizes& sizes = c.common.sizes;
        const GroupedAttention attention(weights, scope, sizes, c.attention_bias, c.attention_bias);
        if (c.sparse[layer]) return {attention, ExpertsMlp(weights, scope, sizes.hidden_size, c.experts)};
        return {attention, GatedMlp(weights, scope, sizes, Bias::absent, c.common.hidden_act)};
    }

    at::Tensor attention(std::size_t index, const GroupedAttention& attention, const at::Tensor& projected,
                         const nn::Segments& segments) const override {
        const at::Tensor normed =
            attention.normalise_heads(projected, head_norms_[index], config().rms_norm_eps);
        return attention.attend(normed, segments, &rotary_,
                                {.scale = inverse_root(config().sizes.head_dim), .window = window_});
    }

    std::int64_t window_;
    nn::RotaryTable rotary_;
    std::vector<at::Tensor> head_norms_;  // [H + G, d] each
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Qwen3Moe>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kQwen3Moe{.architecture = "Qwen3MoeForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
