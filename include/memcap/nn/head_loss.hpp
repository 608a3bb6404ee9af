// Cross-entropy behind the language-model head without stored logits.
#pragma once

#include <ATen/core/Tensor.h>

#include "memcap/nn/linear.hpp"

namespace memcap::nn {

/// What the head says about R scored rows.
struct HeadLoss {
    at::Tensor nll_nats;  ///< [R] float32: -log p(target)
    at::Tensor correct;   ///< [R] bool: the target has the largest logit (the first of equals)
    at::Tensor gradient;  ///< [R, D] float32: d(sum of weight * nll) / d(hidden); undefined unless asked for
};

enum class Gradient : bool { omit, compute };

/// hidden [R, D] float32 (no autograd), target [R] int64, weight [R] float32. Logits exist for a chunk of
/// rows only.
HeadLoss head_loss(const Linear& head, const at::Tensor& hidden, const at::Tensor& target,
                   const at::Tensor& weight, Gradient gradient);

}  // namespace memcap::nn
