// The skeleton of Llama and its relatives: RMSNorm before grouped attention and before an MLP.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/families/blocks.hpp"

namespace memcap::models::families {

/// What decides the skeleton; a family adds what it does inside attention.
struct PreNormConfig {
    Sizes sizes;
    double rms_norm_eps;
    bool tie_word_embeddings;
    nn::Activation hidden_act;
};

/// `rms_norm_eps`, `tie_word_embeddings` and `hidden_act` beside the sizes.
PreNormConfig read_pre_norm_config(const hub::ModelConfig& config, const Sizes& sizes, double default_epsilon,
                                   bool default_tie);

/// The description, with the parameters of one layer's attention and MLP.
Description describe_pre_norm(const char* family, const PreNormConfig& config, const nn::RotaryConfig& rotary,
                              std::int64_t attention_parameters, std::int64_t mlp_parameters);

/// x += attention(rms_norm(x)); x += mlp(rms_norm(x)); names of the tensors as in transformers
/// modeling_llama.py.
class PreNormDecoder : public Decoder {
  public:
    /// What a layer has beside its norms.
    struct Parts {
        GroupedAttention attention;
        std::function<at::Tensor(const at::Tensor& x_RD)> mlp;  ///< a GatedMlp, or of experts
    };
    /// Reads the parts of layer number `layer`, whose tensors' names begin with `scope`.
    using ReadParts = std::function<Parts(const std::string& scope, std::size_t layer)>;

    PreNormDecoder(const PreNormConfig& config, Description description, const nn::WeightReader& weights,
                   const ReadParts& read_parts);

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE, const at::Tensor& position_R) const final;
    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const final;

  protected:
    /// What the family does in layer `index` between the projections, from what project() gave: norms,
    /// rotation, window.
    virtual at::Tensor attention(std::size_t index, const GroupedAttention& attention,
                                 const at::Tensor& projected, const nn::Segments& segments) const = 0;

    const PreNormConfig& config() const noexcept { return config_; }

  private:
    struct Layer {
        at::Tensor input_norm;
        at::Tensor post_attention_norm;
        Parts parts;
    };

    PreNormDecoder(const PreNormConfig& config, Description description, const nn::WeightReader& weights,
                   const ReadParts& read_parts, const nn::Embedding& embedding);

    PreNormConfig config_;
    at::Tensor final_norm_;
    std::vector<Layer> layers_;
};

}  // namespace memcap::models::families
