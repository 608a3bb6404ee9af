// Causal softmax attention over the heads of a layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "memcap/nn/product.hpp"
#include "memcap/nn/rotary.hpp"
#include "memcap/nn/segments.hpp"

// Shapes: B slots, T positions, H query heads, G key/value heads, d head width, P width of a position's
// projections.
namespace memcap::nn {

struct AttentionOptions {
    double scale = 1.0;
    std::int64_t window = 0;  ///< a position sees itself and the window - 1 before it; 0: all before it
    double soft_cap = 0.0;    ///< scores become soft_cap * tanh(score / soft_cap); 0: as they are
};

/// Where the heads lie in a row of projections: query head h at h * query_stride, key head g at
/// key_first + g * key_stride, value head g at value_first + g * key_stride; d elements each.
struct HeadLayout {
    std::int64_t query_heads = 0;  ///< H, a multiple of G
    std::int64_t key_heads = 0;    ///< G
    std::int64_t head_width = 0;   ///< d
    std::int64_t query_stride = 0;
    std::int64_t key_first = 0;
    std::int64_t key_stride = 0;
    std::int64_t value_first = 0;

    /// All queries, then all keys, then all values.
    static HeadLayout stacked(std::int64_t query_heads, std::int64_t key_heads, std::int64_t head_width);
    /// Head by head its query, key and value (transformers modeling_gpt_neox.py).
    static HeadLayout interleaved(std::int64_t heads, std::int64_t head_width);

    /// P
    std::int64_t width() const { return (query_heads + 2 * key_heads) * head_width; }
};

/// softmax(q k^T * scale) v within each slot under the causal mask; key/value heads are shared by H / G query
/// heads each. projected [R, P] -> [R, H * d] of type mode.carried; float32 on a CPU. Queries and keys are
/// rotated by `rotary` on the way, unless it is null; it must outlive the graph. For the backward only
/// `projected` and a number a query head and row are kept; on a GPU the rotated heads, the result and that
/// number. A GPU takes slots of one length: Error otherwise.
at::Tensor causal_attention(const at::Tensor& projected, const Segments& segments, const HeadLayout& layout,
                            const RotaryTable* rotary, const AttentionOptions& options,
                            const ProductMode& mode);

}  // namespace memcap::nn
