// What a model is, as plain numbers: enough to plan trials without its weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace memcap::models {

struct Description {
    std::string family;
    std::int32_t layers = 0;
    std::int32_t width = 0;         ///< D, hidden size
    std::int32_t memory_width = 0;  ///< E, width of an input vector
    std::int32_t query_heads = 0;
    std::int32_t key_value_heads = 0;
    std::int32_t head_width = 0;
    std::int32_t mlp_width = 0;
    std::int64_t scan_states = 0;     ///< state elements of a layer's scan; 0 without one
    std::int32_t context_tokens = 0;  ///< 0: no limit
    /// Inputs longer than this rotate otherwise than those up to it, at every position; 0: all rotate alike.
    std::int64_t common_rotation_tokens = 0;
    /// Whether each length beyond has a rotation of its own.
    bool rotates_by_length = false;
    std::int64_t vocabulary_size = 0;
    std::int64_t embedding_parameters = 0;
    std::int64_t block_parameters = 0;
    std::int64_t idle_parameters = 0;  ///< of the blocks: those of experts that a token does not take
    std::int64_t head_parameters = 0;  ///< V * D, also where the head is tied
    bool tied_head = false;
    /// Floats that a row of a float32 batch on a CPU leaves in memory between forward and backward pass,
    /// those of its input and of the last hidden state aside: all layers together.
    std::int64_t kept_floats = 0;
    /// Keys of config.json that mean nothing to transformers either.
    std::vector<std::string> ignored_config_keys;

    /// Parameters that exist once.
    std::int64_t parameters() const {
        return embedding_parameters + block_parameters + (tied_head ? 0 : head_parameters);
    }
};

}  // namespace memcap::models
