// Attention on libtorch's operations, which bring their own backward.
#include "memcap/nn/attention.hpp"

#include <ATen/ATen.h>

#include <limits>
#include <optional>

namespace memcap::nn {

namespace {

/// [T, T] bool: which keys (columns) a query (row) sees.
at::Tensor visible(std::int64_t positions, std::int64_t window, at::Device device) {
    const at::Tensor past =
        at::ones({positions, positions}, at::TensorOptions().dtype(at::kBool).device(device)).tril();
    return window > 0 && window < positions ? past.triu(1 - window) : past;
}

/// The same sums with capped scores, which no fused operation of libtorch has. q, k, v [B, H, T, d].
at::Tensor capped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionOptions& options, const ProductMode& mode) {
    const std::int64_t shared_by = q.size(1) / k.size(1);
    const auto for_queries = [shared_by](const at::Tensor& x) {
        return shared_by == 1 ? x : x.repeat_interleave(shared_by, 1);
    };
    const at::Tensor scores =
        at::matmul(q, for_queries(k).transpose(-1, -2)).to(at::kFloat).mul(options.scale / options.soft_cap);
    const at::Tensor hidden = visible(q.size(2), options.window, q.device()).logical_not();
    const at::Tensor shares = scores.tanh()
                                  .mul(options.soft_cap)
                                  .masked_fill(hidden, -std::numeric_limits<float>::infinity())
                                  .softmax(-1);
    return at::matmul(mode.factor(shares), for_queries(v));
}

}  // namespace

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionOptions& options, const ProductMode& mode) {
    const auto heads_first = [&mode](const at::Tensor& x) { return mode.factor(x).transpose(1, 2); };
    const std::int64_t positions = q.size(1);
    at::Tensor mixed;
    if (options.soft_cap > 0) {
        mixed = capped_attention(heads_first(q), heads_first(k), heads_first(v), options, mode);
    } else {
        const bool windowed = options.window > 0 && options.window < positions;
        const auto mask = windowed ? std::optional<at::Tensor>(visible(positions, options.window, q.device()))
                                   : std::nullopt;
        mixed = at::scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v), mask,
                                                 /*dropout_p=*/0.0, /*is_causal=*/!windowed, options.scale,
                                                 /*enable_gqa=*/q.size(2) != k.size(2));
    }
    return mixed.transpose(1, 2).flatten(2).to(at::kFloat);
}

}  // namespace memcap::nn
