// Causal softmax attention over the heads of a layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "memcap/nn/product.hpp"

namespace memcap::nn {

struct AttentionOptions {
    double scale = 1.0;
    std::int64_t window = 0;  ///< a position sees itself and the window - 1 before it; 0: all before it
    double soft_cap = 0.0;    ///< scores become soft_cap * tanh(score / soft_cap); 0: as they are
};

/// softmax(q k^T * scale) v under the causal mask; key/value heads are shared by H / G query heads each.
/// q [B, T, H, d], k and v [B, T, G, d], float32 -> [B, T, H * d] float32. Pads may only stand at the end of
/// T: the causal order keeps them from the real positions.
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionOptions& options, const ProductMode& mode);

}  // namespace memcap::nn
