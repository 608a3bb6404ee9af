// AdamW on the memory of all slots at once, each slot with its own step, rate and constants.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "memcap/base/protocol.hpp"

// Shapes: B slots, K memory vectors, E input width.
namespace memcap::memory {

/// One slot's place in its optimisation.
struct SlotStep {
    const Protocol* protocol = nullptr;
    std::int32_t step = 1;  ///< number of this update, from 1
};

/// memory, its gradient and both moments: [B, K, E] float32. Updates the first and the moments in place by
/// the formula of torch.optim.AdamW (decoupled weight decay, bias-corrected moments).
void adamw_update(at::Tensor& memory_BKE, const at::Tensor& gradient_BKE, at::Tensor& first_moment_BKE,
                  at::Tensor& second_moment_BKE, const std::vector<SlotStep>& slots);

}  // namespace memcap::memory
