// Forward and input gradient of the normalisations.
#include "memcap/nn/norm.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

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

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
    return RmsNormFunction::apply(x, weight, epsilon);
}

}  // namespace memcap::nn
