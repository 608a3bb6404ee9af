// Parts that families are built from: the frame of a decoder, grouped attention, gated MLP.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "memcap/models/causal_lm.hpp"
#include "memcap/nn/activation.hpp"
#include "memcap/nn/attention.hpp"
#include "memcap/nn/embedding.hpp"
#include "memcap/nn/linear.hpp"
#include "memcap/nn/rotary.hpp"
#include "memcap/nn/weights.hpp"
#include "models/families/config_keys.hpp"

// Shapes: R rows (positions of all slots), D hidden width, H query heads, G key/value heads, d head width, M
// MLP width.
namespace memcap::models::families {

/// The frame of each family: tokens enter by an embedding, logits leave by a head.
class Decoder : public CausalLM {
  public:
    Decoder(Description description, nn::Embedding embedding, nn::Head head, at::Device device)
        : description_(std::move(description)),
          embedding_(std::move(embedding)),
          head_(std::move(head)),
          device_(device) {}

    const Description& description() const final { return description_; }
    at::Tensor embed(const at::Tensor& tokens) const final { return embedding_(tokens); }
    const nn::Head& head() const final { return head_; }
    double embedding_std() const final { return embedding_.standard_deviation(); }
    at::Device device() const final { return device_; }

  protected:
    /// The type of what a product takes, for norms in front of one.
    at::ScalarType carried() const { return head_.linear.mode().carried; }

  private:
    Description description_;
    nn::Embedding embedding_;
    nn::Head head_;
    at::Device device_;
};

/// Whether a projection has a bias vector.
enum class Bias : bool { absent, present };

/// The matrices scope + name + ".weight", [rows_i, columns] each, as one product with the rows of all.
nn::Linear read_linear(const nn::WeightReader& weights, const std::string& scope,
                       const std::vector<std::string>& names, const std::vector<std::int64_t>& rows,
                       std::int64_t columns, Bias bias);

/// The matrix of this name [vocabulary, width]; where the files lack it and the configuration ties, the
/// embedding. transformers ties only a head that the files lack, whatever the configuration says of one that
/// they hold.
nn::Linear read_head(const nn::WeightReader& weights, const std::string& name, const nn::Embedding& embedding,
                     bool tied);

/// A LayerNorm's weight and bias, [D] each; both undefined for a norm without.
struct Norm {
    at::Tensor weight;
    at::Tensor bias;
};

/// name + ".weight" and name + ".bias".
Norm read_norm(const nn::WeightReader& weights, const std::string& name, std::int64_t width);

/// Attention of the Llama line: q_proj, k_proj, v_proj and o_proj under `self_attn.`, grouped keys.
class GroupedAttention {
  public:
    GroupedAttention(const nn::WeightReader& weights, const std::string& layer_scope, const Sizes& sizes,
                     Bias query_key_value_bias, Bias output_bias);
    /// From projections that the caller has read: rows of queries, keys and values in this order.
    GroupedAttention(nn::Linear query_key_value, nn::Linear output, const Sizes& sizes);

    /// x [R, D] -> [R, (H + 2 G) d]: all queries, all keys, all values
    at::Tensor project(const at::Tensor& x_RD) const { return query_key_value_(x_RD); }
    /// What project() gave, with an RMSNorm of each query and key head; weight [H + G, d].
    at::Tensor normalise_heads(const at::Tensor& projected, const at::Tensor& weight, double epsilon) const;
    /// [R, D] from what project() gave; `rotary` may be null.
    at::Tensor attend(const at::Tensor& projected, const nn::Segments& segments,
                      const nn::RotaryTable* rotary, const nn::AttentionOptions& options) const;

    static std::int64_t parameters(const Sizes& sizes, Bias query_key_value_bias, Bias output_bias);

  private:
    nn::Linear query_key_value_;
    nn::Linear output_;
    nn::HeadLayout layout_;
};

/// self_attn.q_norm and k_norm [d] of each layer in `body` ("model."), repeated for the heads they belong to:
/// [H + G, d] each.
std::vector<at::Tensor> read_head_norms(const nn::WeightReader& weights, const std::string& body,
                                        const Sizes& sizes);

/// The scores' usual scale.
double inverse_root(std::int32_t head_width);

/// down(f(gate x) * up x): gate_proj, up_proj and down_proj under `mlp.`.
class GatedMlp {
  public:
    GatedMlp(const nn::WeightReader& weights, const std::string& layer_scope, const Sizes& sizes, Bias bias,
             nn::Activation activation);
    /// From products that the caller has read: rows of the gate, then of up.
    GatedMlp(nn::Linear gate_up, nn::Linear down, nn::Activation activation);

    at::Tensor operator()(const at::Tensor& x_RD) const {
        return down_(nn::gated(gate_up_(x_RD), activation_));
    }

    static std::int64_t parameters(const Sizes& sizes, Bias bias);

  private:
    nn::Linear gate_up_;
    nn::Linear down_;
    nn::Activation activation_;
};

}  // namespace memcap::models::families
