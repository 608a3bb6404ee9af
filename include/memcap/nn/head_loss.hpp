// The language-model head, and cross-entropy behind it without stored logits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "memcap/nn/linear.hpp"

namespace memcap::nn {

/// From hidden states to logits: W h, or soft_cap * tanh(W h / soft_cap) where soft_cap is not 0
/// (transformers modeling_gemma2.py, final_logit_softcapping).
struct Head {
    Linear linear;
    double soft_cap = 0.0;

    /// hidden [..., D] float32 -> [..., V] float32; without gradients.
    at::Tensor logits(const at::Tensor& hidden) const;
};

/// What the head says about R scored rows.
struct HeadLoss {
    at::Tensor nll_nats;  ///< [R] float32: -log p(target)
    at::Tensor correct;   ///< [R] bool: the target has the largest logit (the first of equals)
    at::Tensor gradient;  ///< [R, D] of the type of hidden, of the RowLoss; undefined unless asked for
};

/// Logits that head_loss() has at once on a GPU at most; on a CPU they are too few to count.
inline constexpr std::int64_t kMostDeviceLogits = 268'435'456;

/// What of R rows is differentiated: the sum of weight * loss, the loss of a row being -log p(target) of its
/// logits times its sharpness: 1 / T for logits / T, raw, not times T squared.
struct RowLoss {
    at::Tensor weight;          ///< [R] float32
    at::Tensor sharpness = {};  ///< [R] float32; undefined: 1 everywhere
};

/// hidden [R, D] float32, or on a GPU the type of its products (no autograd), target [R] int64. Logits exist
/// for a chunk of rows only.
HeadLoss head_loss(const Head& head, const at::Tensor& hidden, const at::Tensor& target,
                   const std::optional<RowLoss>& differentiated = std::nullopt);

}  // namespace memcap::nn
