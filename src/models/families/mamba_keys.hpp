// Keys and tensors that Mamba and Mamba-2 share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/families/blocks.hpp"

namespace memcap::models::families {

/// Sizes of a state-space model, under the names of transformers' configurations; read_mamba_sizes() fills
/// the lower part.
struct MambaSizes {
    std::int32_t vocab_size;
    std::int32_t hidden_size;
    std::int32_t state_size;
    std::int32_t num_hidden_layers;
    std::int32_t intermediate_size = 0;  ///< channels: expand * hidden_size
    std::int32_t conv_kernel = 0;
    double layer_norm_epsilon = 0.0;
    Bias use_conv_bias = Bias::present;
    Bias use_bias = Bias::absent;
    nn::Activation hidden_act = nn::Activation::silu;
};

/// The keys of read_mamba_sizes(), and those of published files that repeat others.
std::vector<std::string_view> with_mamba_keys(std::vector<std::string_view> others);

MambaSizes read_mamba_sizes(const hub::ModelConfig& config, const MambaSizes& defaults);

/// There is no attention and no limit of positions.
Description describe_mamba(const char* family, const MambaSizes& sizes, std::int64_t layer_parameters,
                           bool tied);

/// conv1d.weight [channels, 1, taps] as [channels, taps].
at::Tensor read_taps(const nn::WeightReader& weights, const std::string& mixer_scope, std::int64_t channels,
                     std::int32_t taps);

/// backbone.embeddings.weight, or `embedding` as the first published files call it.
nn::Embedding read_mamba_embedding(const nn::WeightReader& weights, const MambaSizes& sizes);

}  // namespace memcap::models::families
