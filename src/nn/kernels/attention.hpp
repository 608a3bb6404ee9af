// Causal attention of one key/value head of one slot on a CPU, forth and back, rotation included.
#pragma once

#include <cstdint>

namespace memcap::nn::kernels {

/// One slot's key/value head and the query heads that share it. Pointers point at position 0; element c of
/// query head h at position t lies at query[t * position_stride + h * query_stride + c].
struct AttentionTask {
    std::int64_t positions = 0;
    std::int64_t query_heads = 0;  ///< that share the key/value head
    std::int64_t head_width = 0;
    std::int64_t position_stride = 0;
    std::int64_t query_stride = 0;
    const float* query = nullptr;
    const float* key = nullptr;
    const float* value = nullptr;
    const float* cosine = nullptr;  ///< [positions, rotated / 2]; null for no rotation
    const float* sine = nullptr;
    std::int64_t rotated = 0;  ///< elements of a head that are rotated, halves paired
    float scale = 1.0F;
    std::int64_t window = 0;  ///< a position sees itself and the window - 1 before it; 0: all
    float soft_cap = 0.0F;    ///< 0: none
    /// Element c of query head h at position t of the result, and of its gradient, lies at
    /// [t * mixed_stride + h * head_width + c].
    std::int64_t mixed_stride = 0;
    float* mixed = nullptr;
    float* log_sum = nullptr;  ///< [query_heads, positions]: log of the sum of exp(score)
    // For the backward: the gradient of `mixed`, and places in the layout of query, key and value.
    const float* gradient = nullptr;
    float* gradient_query = nullptr;
    float* gradient_key = nullptr;
    float* gradient_value = nullptr;
    float* scratch = nullptr;  ///< attention_scratch_floats() floats, aligned to 64 bytes
};

}  // namespace memcap::nn::kernels
