// The skeleton of OLMo-2 and OLMo-3: RMSNorm behind attention and behind a gated MLP, and on queries and
// keys.
#pragma once

#include <vector>

#include "models/families/blocks.hpp"

namespace memcap::models::families {

/// What decides the skeleton; a family adds what each layer sees.
struct PostNormConfig {
    Sizes sizes;
    double rms_norm_eps;
    Bias attention_bias;
    bool tie_word_embeddings;
    nn::Activation hidden_act;
};

/// The keys of the skeleton and `others`.
std::vector<std::string_view> with_post_norm_keys(std::vector<std::string_view> others);
PostNormConfig read_post_norm_config(const hub::ModelConfig& config);

Description describe_post_norm(const char* family, const PostNormConfig& config,
                               const nn::RotaryConfig& rotary);

/// x += rms_norm(attention(x)); x += rms_norm(mlp(x)); queries and keys are normed before they are split into
/// heads. Names of the tensors as in transformers modeling_olmo2.py.
class PostNormDecoder : public Decoder {
  public:
    PostNormDecoder(const PostNormConfig& config, Description description, const nn::WeightReader& weights);

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE, const at::Tensor& position_R) const final;
    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const final;

  protected:
    /// What attention of a layer looks by.
    struct Sight {
        const nn::RotaryTable* rotary;
        std::int64_t window;  ///< 0: all before
    };
    virtual Sight sight(std::size_t index) const = 0;

  private:
    struct Layer {
        GroupedAttention attention;
        at::Tensor query_norm;  // [H d]
        at::Tensor key_norm;    // [G d]
        at::Tensor post_attention_norm;
        GatedMlp mlp;
        at::Tensor post_feedforward_norm;
    };

    PostNormDecoder(const PostNormConfig& config, Description description, const nn::WeightReader& weights,
                    const nn::Embedding& embedding);
    at::Tensor attention(std::size_t index, const at::Tensor& projected, const nn::Segments& segments) const;

    PostNormConfig config_;
    at::Tensor final_norm_;
    std::vector<Layer> layers_;
};

}  // namespace memcap::models::families
