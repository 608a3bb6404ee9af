// The update of AdamW with constants per slot.
#include "memcap/memory/adamw.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "memcap/base/contracts.hpp"

namespace memcap::memory {

void adamw_update(at::Tensor& memory_BKE, const at::Tensor& gradient_BKE, at::Tensor& first_moment_BKE,
                  at::Tensor& second_moment_BKE, const std::vector<SlotStep>& slots) {
    const auto slot_count = static_cast<std::int64_t>(slots.size());
    MEMCAP_EXPECT(memory_BKE.size(0) == slot_count);
    constexpr std::int64_t kConstants = 6;
    at::Tensor constants = at::empty({kConstants, slot_count}, at::kFloat);
    auto constant = constants.accessor<float, 2>();
    for (std::int64_t slot = 0; slot < slot_count; ++slot) {
        const auto& [protocol, step] = slots[static_cast<std::size_t>(slot)];
        const double rate = learning_rate_at(*protocol, step);
        const double correction1 = 1.0 - std::pow(protocol->beta1, step);
        const double correction2 = 1.0 - std::pow(protocol->beta2, step);
        constant[0][slot] = static_cast<float>(1.0 - rate * protocol->weight_decay);
        constant[1][slot] = static_cast<float>(1.0 - protocol->beta1);
        constant[2][slot] = static_cast<float>(protocol->beta2);
        constant[3][slot] = static_cast<float>(1.0 / std::sqrt(correction2));
        constant[4][slot] = static_cast<float>(protocol->epsilon);
        constant[5][slot] = static_cast<float>(-rate / correction1);
    }
    const at::Tensor on_device =
        constants.to(memory_BKE.device()).unsqueeze(-1).unsqueeze(-1);  // [6, B, 1, 1]
    const at::Tensor& g = gradient_BKE;
    memory_BKE.mul_(on_device[0]);
    first_moment_BKE.lerp_(g, on_device[1]);
    second_moment_BKE.mul_(on_device[2]).add_(g.square().mul_(on_device[2].neg().add(1.0)));
    const at::Tensor denominator = second_moment_BKE.sqrt().mul_(on_device[3]).add_(on_device[4]);
    memory_BKE.addcdiv_(first_moment_BKE.mul(on_device[5]), denominator);
}

}  // namespace memcap::memory
