// Cross-entropy of rows of logits on a CPU: loss, arg max and gradient while a row is in the cache.
#pragma once

#include <cstdint>

namespace memcap::nn::kernels {

struct HeadRowsTask {
    std::int64_t rows = 0;
    std::int64_t vocabulary = 0;
    float* logits = nullptr;  ///< [rows, vocabulary]; with `weight`, becomes the gradient of weight * loss
    const std::int64_t* target = nullptr;
    const float* weight = nullptr;  ///< [rows]; null where no gradient is asked for
    /// [rows]; 1 / T where the gradient is that of the cross-entropy of logits / T; null: 1 everywhere
    const float* sharpness = nullptr;
    float soft_cap = 0.0F;      ///< logits become soft_cap * tanh(logit / soft_cap) first; 0: as they are
    float* nll_nats = nullptr;  ///< [rows]
    bool* correct = nullptr;    ///< [rows]: the target is the first of the largest logits
};

}  // namespace memcap::nn::kernels
