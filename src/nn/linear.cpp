// Linear and its input gradient.
#include "memcap/nn/linear.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "memcap/base/contracts.hpp"

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const ProductMode& mode) {
    return at::matmul(mode.factor(x), weight).to(at::kFloat);
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Linear* linear) {
        // The model outlives each step, so its operations may be kept by address.
        context->saved_data["linear"] = reinterpret_cast<std::int64_t>(linear);
        at::Tensor y = product(x, linear->weight().t(), linear->mode());
        if (linear->bias().defined()) y.add_(linear->bias());
        return y;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto address = context->saved_data["linear"].toInt();
        const auto* linear = reinterpret_cast<const Linear*>(address);  // NOLINT(performance-no-int-to-ptr)
        return {product(gradients[0], linear->weight(), linear->mode()), {}};
    }
};

}  // namespace

Linear::Linear(at::Tensor weight, at::Tensor bias, ProductMode mode)
    : weight_(std::move(weight)), bias_(std::move(bias)), mode_(mode) {
    MEMCAP_EXPECT(weight_.dim() == 2 && weight_.scalar_type() == mode_.multiplied);
    MEMCAP_EXPECT(!bias_.defined() || bias_.size(0) == weight_.size(0));
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
    return LinearFunction::apply(x, this);
}

}  // namespace memcap::nn
