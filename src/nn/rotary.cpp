// Tables of rotations, and the rotation with its transpose as gradient.
#include "memcap/nn/rotary.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <bit>
#include <cmath>
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

/// [pairs]: 0 for pairs that turn fast and stay, 1 for those that are slowed down by the whole factor.
at::Tensor slowed_share(const YarnScaling& scaling, double theta, std::int32_t width) {
    const auto pair_with = [&](double turns) {
        return width * std::log(scaling.original_context_tokens / (turns * 2.0 * std::numbers::pi)) /
               (2.0 * std::log(theta));
    };
    double first = pair_with(scaling.fast_turns);
    double last = pair_with(scaling.slow_turns);
    if (scaling.whole_pairs) {
        first = std::floor(first);
        last = std::ceil(last);
    }
    first = std::max(first, 0.0);
    last = std::min(last, width - 1.0);
    if (first == last) last += 0.001;
    return at::arange(width / 2, at::kFloat).sub(first).div(last - first).clamp(0, 1);
}

at::Tensor scaled_by_yarn(const at::Tensor& wavelength, const YarnScaling& scaling, double theta,
                          std::int32_t width) {
    const at::Tensor stays = slowed_share(scaling, theta, width).neg().add(1.0);
    const at::Tensor slowed = wavelength.mul(scaling.factor).reciprocal();
    return slowed.mul(stays.neg().add(1.0)).add(wavelength.reciprocal().mul(stays));
}

/// The base, which grows with the length of an input beyond the original context; in float32, as over there.
at::Tensor grown_base(const RotaryConfig& config, std::int64_t length) {
    const DynamicScaling& scaling = *config.dynamic;
    const double width = config.head_width;
    return at::scalar_tensor(static_cast<double>(length), at::kFloat)
        .mul(scaling.factor)
        .div(static_cast<double>(scaling.original_context_tokens))
        .sub(scaling.factor - 1.0)
        .pow(width / (width - 2.0))
        .mul(config.theta);
}

/// [head_width / 2] radians a position, of inputs of this length.
at::Tensor frequencies(const RotaryConfig& config, std::int64_t length) {
    const at::Tensor exponent = at::arange(0, config.head_width, 2, at::kFloat).div(config.head_width);
    const auto common = config.common_tokens();
    const bool beyond = common && length > *common;
    if (config.dynamic && beyond) return at::pow(grown_base(config, length), exponent).reciprocal();
    const at::Tensor wavelength = at::pow(config.theta, exponent);
    if (config.longrope) {
        const auto& factors = beyond ? config.longrope->long_factors : config.longrope->short_factors;
        return at::tensor(factors, at::kFloat).mul(wavelength).reciprocal();
    }
    if (config.yarn) return scaled_by_yarn(wavelength, *config.yarn, config.theta, config.head_width);
    const at::Tensor frequency = wavelength.reciprocal().div(config.linear_factor);
    return config.llama3 ? scaled_by_llama3(frequency, *config.llama3) : frequency;
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

std::optional<std::int64_t> RotaryConfig::common_tokens() const {
    if (longrope) return longrope->original_context_tokens;
    if (dynamic) return dynamic->original_context_tokens;
    return std::nullopt;
}

RotaryTable::RotaryTable(const RotaryConfig& config, std::int32_t positions, at::Device device)
    : config_(config), positions_(positions), device_(device) {
    MEMCAP_EXPECT(config.head_width > 0 && config.head_width % 2 == 0);
    common_.frequency = frequencies(config, 1);
}

RotaryTable::Table& RotaryTable::table_of(std::int64_t length) const {
    const auto common = config_.common_tokens();
    if (!common || length <= *common) return common_;
    // Each length has a base of its own. Tables on a CPU live on in the nodes that need them.
    constexpr std::size_t kMostTables = 64;
    const std::int64_t key = config_.dynamic ? length : 0;
    if (!beyond_.contains(key) && beyond_.size() >= kMostTables && device_.is_cpu()) beyond_.clear();
    Table& table = beyond_[key];
    if (!table.frequency.defined()) table.frequency = frequencies(config_, length);
    return table;
}

Rotation RotaryTable::rotation(std::int64_t length) const {
    MEMCAP_EXPECT(length <= positions_);
    Table& table = table_of(length);
    Rotation& now = table.rotation;
    if (now.cosine.defined() && length <= now.cosine.size(0)) return now;
    // A power of two, so that texts that get longer one by one make few tables.
    const auto rows = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(length)));
    const at::Tensor position = at::arange(std::min(rows, positions_), at::kFloat);
    const at::Tensor angle = position.unsqueeze(1).mul(table.frequency.unsqueeze(0));
    if (now.cosine.defined() && !device_.is_cpu()) table.former.push_back(now);
    now = {.cosine = angle.cos().mul(config_.attention_factor).to(device_),
           .sine = angle.sin().mul(config_.attention_factor).to(device_)};
    return now;
}

std::vector<Rotation> RotaryTable::rotations(const Segments& segments) const {
    const auto common = config_.common_tokens();
    if (!common || segments.longest() <= *common || segments.is_uniform())
        return {rotation(segments.longest())};
    std::vector<Rotation> all;
    for (std::int64_t slot = 0; slot < segments.count(); ++slot)
        all.push_back(rotation(segments.length(slot)));
    return all;
}

at::Tensor RotaryTable::rotate(const at::Tensor& x, const Segments& segments) const {
    MEMCAP_EXPECT(x.dim() == 4 && x.size(0) == segments.count() && x.size(1) == segments.longest() &&
                  x.size(3) >= config_.head_width);
    const auto all = rotations(segments);
    const auto table = [&](at::Tensor Rotation::*values) {
        if (all.size() == 1) return (all.front().*values).narrow(0, 0, x.size(1)).unsqueeze(-2);
        std::vector<at::Tensor> slots;
        for (const Rotation& one : all) {
            const std::int64_t known = std::min((one.*values).size(0), x.size(1));
            slots.push_back(
                at::constant_pad_nd((one.*values).narrow(0, 0, known), {0, 0, 0, x.size(1) - known}));
        }
        return at::stack(slots).unsqueeze(-2);
    };
    return RotaryFunction::apply(x, table(&Rotation::cosine), table(&Rotation::sine));
}

at::Tensor RotaryTable::rotate(const at::Tensor& x) const {
    return rotate(x, Segments::uniform(x.size(0), x.size(1), x.device()));
}

std::int64_t RotaryTable::table_positions() const {
    return common_.rotation.cosine.defined() ? common_.rotation.cosine.size(0) : 0;
}

}  // namespace memcap::nn
