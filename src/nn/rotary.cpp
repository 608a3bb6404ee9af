// Tables of rotations, and the rotation with its transpose as gradient.
#include "memcap/nn/rotary.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <bit>
#include <numbers>

#include "memcap/base/contracts.hpp"

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor scaled_by_llama3(const at::Tensor& frequency, const Llama3Scaling& scaling) {
    const at::Tensor wavelength = frequency.reciprocal().mul(2.0 * std::numbers::pi);
    const double longest = scaling.original_context_tokens / scaling.low_frequency_factor;
    const double shortest = scaling.original_context_tokens / scaling.high_frequency_factor;
    const at::Tensor slowed = frequency.div(scaling.factor);
    const at::Tensor share = wavelength.reciprocal()
                                 .mul(scaling.original_context_tokens)
                                 .sub(scaling.low_frequency_factor)
                                 .div(scaling.high_frequency_factor - scaling.low_frequency_factor);
    const at::Tensor blended = share.neg().add(1.0).mul(slowed).add(share.mul(frequency));
    return at::where(wavelength.gt(longest), slowed, at::where(wavelength.lt(shortest), frequency, blended));
}

/// x [B, T, H, d]; rotates by +angle, or by -angle for the gradient.
at::Tensor rotated(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
    const std::int64_t half = cosine.size(-1);
    const std::int64_t rest = x.size(-1) - 2 * half;
    const at::Tensor first = x.narrow(-1, 0, half);
    const at::Tensor second = x.narrow(-1, half, half);
    at::Tensor out = at::empty(x.sizes(), x.options());
    if (rest > 0) out.narrow(-1, 2 * half, rest).copy_(x.narrow(-1, 2 * half, rest));
    at::Tensor out_first = out.narrow(-1, 0, half);
    at::Tensor out_second = out.narrow(-1, half, half);
    at::mul_out(out_first, first, cosine);
    out_first.addcmul_(second, sine, -1);
    at::mul_out(out_second, second, cosine);
    out_second.addcmul_(first, sine);
    return out;
}

struct RotaryFunction : torch::autograd::Function<RotaryFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                              const at::Tensor& sine) {
        context->saved_data["cosine"] = cosine;
        context->saved_data["sine"] = sine;
        return rotated(x, cosine, sine);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const at::Tensor sine = context->saved_data["sine"].toTensor();
        return {rotated(gradients[0], context->saved_data["cosine"].toTensor(), sine.neg()), {}, {}};
    }
};

}  // namespace

RotaryTable::RotaryTable(const RotaryConfig& config, std::int32_t positions, at::Device device)
    : positions_(positions), device_(device) {
    MEMCAP_EXPECT(config.head_width > 0 && config.head_width % 2 == 0);
    const at::Tensor exponent = at::arange(0, config.head_width, 2, at::kFloat).div(config.head_width);
    frequency_ = at::pow(config.theta, exponent).reciprocal().div(config.linear_factor);
    if (config.llama3) frequency_ = scaled_by_llama3(frequency_, *config.llama3);
}

void RotaryTable::reach(std::int64_t positions) const {
    if (cosine_.defined() && positions <= cosine_.size(0)) return;
    // A power of two, so that texts that get longer one by one make few tables.
    const auto rows = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(positions)));
    const at::Tensor position = at::arange(std::min(rows, positions_), at::kFloat);
    const at::Tensor angle = position.unsqueeze(1).mul(frequency_.unsqueeze(0));
    if (cosine_.defined() && !device_.is_cpu()) former_.insert(former_.end(), {cosine_, sine_});
    cosine_ = angle.cos().to(device_);
    sine_ = angle.sin().to(device_);
}

std::pair<at::Tensor, at::Tensor> RotaryTable::tables(std::int64_t positions) const {
    MEMCAP_EXPECT(positions <= positions_);
    reach(positions);
    return {cosine_, sine_};
}

at::Tensor RotaryTable::rotate(const at::Tensor& x) const {
    MEMCAP_EXPECT(x.dim() == 4 && x.size(1) <= positions_ && x.size(3) >= 2 * frequency_.size(0));
    reach(x.size(1));
    const auto table = [&x](const at::Tensor& values) { return values.narrow(0, 0, x.size(1)).unsqueeze(1); };
    return RotaryFunction::apply(x, table(cosine_), table(sine_));
}

}  // namespace memcap::nn
