// Reading and running the parts that families share.
#include "models/families/blocks.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "memcap/nn/norm.hpp"

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
      layout_(nn::HeadLayout::stacked(sizes.num_attention_heads, sizes.num_key_value_heads, sizes.head_dim)) {
}

GroupedAttention::GroupedAttention(const nn::WeightReader& weights, const std::string& layer_scope,
                                   const Sizes& sizes, Bias query_key_value_bias, Bias output_bias)
    : GroupedAttention(
          read_linear(weights, layer_scope, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                      {sizes.query_width(), sizes.key_width(), sizes.key_width()}, sizes.hidden_size,
                      query_key_value_bias),
          read_linear(weights, layer_scope, {"self_attn.o_proj"}, {sizes.hidden_size}, sizes.query_width(),
                      output_bias),
          sizes) {}

at::Tensor GroupedAttention::normalise_heads(const at::Tensor& projected, const at::Tensor& weight,
                                             double epsilon) const {
    const std::int64_t heads = layout_.query_heads + layout_.key_heads;
    const at::Tensor query_key = projected.narrow(-1, 0, layout_.value_first);
    const at::Tensor normed = nn::rms_norm(query_key.unflatten(-1, {heads, layout_.head_width}), weight,
                                           epsilon, query_key_value_.mode().carried)
                                  .flatten(-2);
    const at::Tensor value = projected.narrow(-1, layout_.value_first, layout_.width() - layout_.value_first);
    return at::cat({normed, value}, -1);
}

at::Tensor GroupedAttention::attend(const at::Tensor& projected, const nn::Segments& segments,
                                    const nn::RotaryTable* rotary,
                                    const nn::AttentionOptions& options) const {
    return output_(nn::causal_attention(projected, segments, layout_, rotary, options, output_.mode()));
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
