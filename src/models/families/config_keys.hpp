// Keys of config.json that several families share, read as transformers reads them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "memcap/hub/model_config.hpp"
#include "memcap/models/description.hpp"
#include "memcap/nn/activation.hpp"
#include "memcap/nn/rotary.hpp"

namespace memcap::models::families {

/// Sizes of a decoder of the Llama line, under the names of transformers' configurations.
struct Sizes {
    std::int32_t vocab_size;
    std::int32_t hidden_size;
    std::int32_t intermediate_size;
    std::int32_t num_hidden_layers;
    std::int32_t num_attention_heads;
    std::int32_t num_key_value_heads;  ///< as a default, 0: as many as attention heads
    std::int32_t head_dim;             ///< as a default, 0: hidden_size / num_attention_heads
    std::int32_t max_position_embeddings;

    std::int64_t query_width() const { return std::int64_t{num_attention_heads} * head_dim; }
    std::int64_t key_width() const { return std::int64_t{num_key_value_heads} * head_dim; }
};

/// The keys that read_sizes() and read_rotary() read.
std::vector<std::string_view> with_size_keys(std::vector<std::string_view> others);

/// Reads the sizes; `defaults` are the values of transformers' configuration class. Throws DataError for
/// heads that do not fit.
Sizes read_sizes(const hub::ModelConfig& config, const Sizes& defaults);

/// Where a family keeps its rotation at the top level of config.json, and what holds where a file is silent.
struct RotaryKeys {
    std::string_view theta = "rope_theta";
    double default_theta = 10000.0;
    std::string_view share{};  ///< the part of each head that rotates; empty: whole heads do
    double default_share = 1.0;
    /// Phi-3: `su` and `yarn` are former names of longrope, there is no other scaling, and the original
    /// context stands at the top level, this by default; 0: as in other families.
    std::int32_t longrope_original_tokens = 0;
};

/// Rotation of heads as wide as `sizes` says, from `keys` and rope_scaling as written until transformers 4,
/// or rope_parameters as written since 5, whose values precede those of `keys`. Throws DataError for a
/// scaling that memcap lacks and for a width that cannot rotate.
nn::RotaryConfig read_rotary(const hub::ModelConfig& config, const Sizes& sizes, const RotaryKeys& keys = {});
/// A rotation of whole heads without scaling.
nn::RotaryConfig plain_rotary(const Sizes& sizes, double theta);
/// The base and scaling in the object `key`, if there is one, over those of `rotary`: of one of several types
/// of layers, in which whole heads rotate.
void read_layer_scaling(const hub::ModelConfig& config, std::string_view key, nn::RotaryConfig& rotary);
/// Throws DataError for a rotation that depends on the length of the input, where `key` cannot have one.
void reject_rotation_by_length(const hub::ModelConfig& config, std::string_view key,
                               const nn::RotaryConfig& rotary);

/// The activation of this key (transformers activations.py, ACT2FN); throws DataError for another than memcap
/// has.
nn::Activation read_activation(const hub::ModelConfig& config, std::string_view key,
                               std::string_view otherwise);

/// Which layers see a window only: by `layer_types` if the file has them, else as given.
std::vector<bool> read_sliding_layers(const hub::ModelConfig& config, std::vector<bool> otherwise);

/// Floats that attention keeps of a row: the projections, and a number a query head.
std::int64_t kept_by_attention(const Sizes& sizes);
/// Floats that norms of each query and key head keep of a row.
std::int64_t kept_by_head_norms(const Sizes& sizes);
/// Floats that an RMSNorm of a sum keeps of a row: the sum and its inverse root mean square.
std::int64_t kept_by_rms_norm(std::int64_t width);
/// The same of a LayerNorm, which keeps the mean as well.
std::int64_t kept_by_layer_norm(std::int64_t width);

/// The description of a decoder with these sizes; what depends on its parts is left to the family.
Description describe_sizes(const char* family, const Sizes& sizes);
/// The same of one that rotates so: how long its inputs may be, and from where on they rotate otherwise.
Description describe_sizes(const char* family, const Sizes& sizes, const nn::RotaryConfig& rotary);

}  // namespace memcap::models::families
