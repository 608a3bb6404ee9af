// Reading and running the parts that families share.
#include "models/families/blocks.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

namespace memcap::models::families {

nn::Linear read_linear(const nn::WeightReader& weights, const std::string& scope,
                       const std::vector<std::string>& names, const std::vector<std::int64_t>& rows,
                       std::int64_t columns, Bias bias) {
    std::vector<std::string> matrices;
    std::vector<std::string> biases;
    for (const auto& name : names) {
        matrices.push_back(scope + name + ".weight");
        biases.push_back(scope + name + ".bias");
    }
    return {weights.stacked_matrix(matrices, rows, columns),
            bias == Bias::present ? weights.stacked_vector(biases, rows) : at::Tensor(), weights.mode()};
}

nn::Linear read_head(const nn::WeightReader& weights, const std::string& name, const nn::Embedding& embedding,
                     bool tied) {
    const at::Tensor& matrix = embedding.weight();
    if (tied && !weights.contains(name)) return {matrix, at::Tensor(), weights.mode()};
    return {weights.matrix(name, {matrix.size(0), matrix.size(1)}), at::Tensor(), weights.mode()};
}

Norm read_norm(const nn::WeightReader& weights, const std::string& name, std::int64_t width) {
    return {.weight = weights.vector(name + ".weight", width), .bias = weights.vector(name + ".bias", width)};
}

GroupedAttention::GroupedAttention(nn::Linear query_key_value, nn::Linear output, const Sizes& sizes)
    : query_key_value_(std::move(query_key_value)),
      output_(std::move(output)),
      query_heads_(sizes.num_attention_heads),
      key_heads_(sizes.num_key_value_heads),
      head_width_(sizes.head_dim) {}

GroupedAttention::GroupedAttention(const nn::WeightReader& weights, const std::string& layer_scope,
                                   const Sizes& sizes, Bias query_key_value_bias, Bias output_bias)
    : GroupedAttention(
          read_linear(weights, layer_scope, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                      {sizes.query_width(), sizes.key_width(), sizes.key_width()}, sizes.hidden_size,
                      query_key_value_bias),
          read_linear(weights, layer_scope, {"self_attn.o_proj"}, {sizes.hidden_size}, sizes.query_width(),
                      output_bias),
          sizes) {}

Heads GroupedAttention::split(const at::Tensor& projected) const {
    const std::int64_t both = query_heads_ + key_heads_;
    const at::Tensor heads_BTHd = projected.unflatten(-1, {both + key_heads_, head_width_});
    return {.query_key = heads_BTHd.narrow(2, 0, both), .value = heads_BTHd.narrow(2, both, key_heads_)};
}

at::Tensor GroupedAttention::attend(const Heads& heads, const nn::AttentionOptions& options) const {
    return output_(nn::causal_attention(heads.query_key.narrow(2, 0, query_heads_),
                                        heads.query_key.narrow(2, query_heads_, key_heads_), heads.value,
                                        options, output_.mode()));
}

std::int64_t GroupedAttention::parameters(const Sizes& sizes, Bias query_key_value_bias, Bias output_bias) {
    const std::int64_t rows = sizes.query_width() + 2 * sizes.key_width();
    std::int64_t count = sizes.hidden_size * (rows + sizes.query_width());
    if (query_key_value_bias == Bias::present) count += rows;
    if (output_bias == Bias::present) count += sizes.hidden_size;
    return count;
}

std::vector<at::Tensor> read_head_norms(const nn::WeightReader& weights, const std::string& body,
                                        const Sizes& sizes) {
    std::vector<at::Tensor> norms;
    for (std::int32_t i = 0; i < sizes.num_hidden_layers; ++i) {
        const std::string scope = fmt::format("{}layers.{}.self_attn.", body, i);
        const at::Tensor query = weights.vector(scope + "q_norm.weight", sizes.head_dim);
        const at::Tensor key = weights.vector(scope + "k_norm.weight", sizes.head_dim);
        norms.push_back(at::cat({query.expand({sizes.num_attention_heads, sizes.head_dim}),
                                 key.expand({sizes.num_key_value_heads, sizes.head_dim})}));
    }
    return norms;
}

double inverse_root(std::int32_t head_width) {
    return 1.0 / std::sqrt(static_cast<double>(head_width));
}

GatedMlp::GatedMlp(nn::Linear gate_up, nn::Linear down, nn::Activation activation)
    : gate_up_(std::move(gate_up)), down_(std::move(down)), activation_(activation) {}

GatedMlp::GatedMlp(const nn::WeightReader& weights, const std::string& layer_scope, const Sizes& sizes,
                   Bias bias, nn::Activation activation)
    : GatedMlp(read_linear(weights, layer_scope, {"mlp.gate_proj", "mlp.up_proj"},
                           {sizes.intermediate_size, sizes.intermediate_size}, sizes.hidden_size, bias),
               read_linear(weights, layer_scope, {"mlp.down_proj"}, {sizes.hidden_size},
                           sizes.intermediate_size, bias),
               activation) {}

std::int64_t GatedMlp::parameters(const Sizes& sizes, Bias bias) {
    const std::int64_t hidden = sizes.hidden_size;
    const std::int64_t inner = sizes.intermediate_size;
    return 3 * hidden * inner + (bias == Bias::present ? 2 * inner + hidden : 0);
}

}  // namespace memcap::models::families
