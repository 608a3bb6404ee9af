// Forward and input gradient of the normalisations.
#include "memcap/nn/norm.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                              double epsilon) {
        const at::Tensor inverse_rms = x.square().mean(-1, true).add_(epsilon).rsqrt_();
        context->save_for_backward({x, inverse_rms});
        context->saved_data["weight"] = weight;
        return x.mul(inverse_rms).mul_(weight);
    }

    // With n = x r and h = w g: dx = r (h - n mean(h n)).
    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor& inverse_rms = saved[1];
        const at::Tensor normalised = saved[0].mul(inverse_rms);
        at::Tensor scaled = gradients[0].mul(context->saved_data["weight"].toTensor());
        const at::Tensor projection = scaled.mul(normalised).mean(-1, true);
        return {scaled.addcmul_(normalised, projection, -1).mul_(inverse_rms), {}, {}};
    }
};

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                              const std::optional<at::Tensor>& weight, const std::optional<at::Tensor>& bias,
                              double epsilon) {
        auto [y, mean, inverse_std] = at::native_layer_norm(x, {x.size(-1)}, weight, bias, epsilon);
        context->save_for_backward({x, mean, inverse_std});
        if (weight) context->saved_data["weight"] = *weight;
        return y;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        std::optional<at::Tensor> weight;
        if (const auto kept = context->saved_data.find("weight"); kept != context->saved_data.end())
            weight = kept->second.toTensor();
        const auto found =
            at::native_layer_norm_backward(gradients[0].contiguous(), saved[0], {saved[0].size(-1)}, saved[1],
                                           saved[2], weight, std::nullopt, {true, false, false});
        return {std::get<0>(found), {}, {}, {}};
    }
};

std::optional<at::Tensor> if_defined(const at::Tensor& tensor) {
    return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
    return RmsNormFunction::apply(x, weight, epsilon);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon) {
    return LayerNormFunction::apply(x, if_defined(weight), if_defined(bias), epsilon);
}

}  // namespace memcap::nn
