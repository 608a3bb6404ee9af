// Attention on libtorch's scaled_dot_product_attention, which brings its own backward.
#include "memcap/nn/attention.hpp"

#include <ATen/ATen.h>

namespace memcap::nn {

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                            const ProductMode& mode) {
    const auto heads_first = [&mode](const at::Tensor& x) { return mode.factor(x).transpose(1, 2); };
    const at::Tensor mixed =
        at::scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v), /*attn_mask=*/{},
                                         /*dropout_p=*/0.0, /*is_causal=*/true, scale,
                                         /*enable_gqa=*/q.size(2) != k.size(2));
    return mixed.transpose(1, 2).flatten(2).to(at::kFloat);
}

}  // namespace memcap::nn
