// Linear and its input gradient.
#include "memcap/nn/linear.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "memcap/base/contracts.hpp"
#include "nn/detail/cpu_product.hpp"

namespace memcap::nn {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LinearFunction : torch::autograd::Function<LinearFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Linear* linear) {
        // The model outlives each step, so its operations may be kept by address.
        context->saved_data["linear"] = reinterpret_cast<std::int64_t>(linear);
        return linear->forward(x);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto address = context->saved_data["linear"].toInt();
        const auto* linear = reinterpret_cast<const Linear*>(address);  // NOLINT(performance-no-int-to-ptr)
        return {linear->transposed(gradients[0]), {}};
    }
};

Linear::Linear(at::Tensor weight, at::Tensor bias, ProductMode mode)
    : Linear(std::vector<at::Tensor>{std::move(weight)}, std::move(bias), mode) {}

Linear::Linear(std::vector<at::Tensor> parts, at::Tensor bias, ProductMode mode)
    : parts_(std::move(parts)), bias_(std::move(bias)), mode_(mode) {
    for (const auto& part : parts_) {
        MEMCAP_EXPECT(part.dim() == 2 && part.scalar_type() == mode_.multiplied);
        MEMCAP_EXPECT(part.size(1) == parts_.front().size(1));
        rows_ += part.size(0);
    }
    MEMCAP_EXPECT(!bias_.defined() || bias_.size(0) == rows_);
    if (bias_.defined() && !bias_.is_cpu()) device_bias_ = bias_.to(mode_.multiplied);
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
    return LinearFunction::apply(x, this);
}

const at::Tensor& Linear::weight() const {
    MEMCAP_EXPECT(parts_.size() == 1);
    return parts_.front();
}

at::Tensor Linear::forward(const at::Tensor& x) const {
    const at::Tensor factor = mode_.factor(x);
    at::Tensor y;
    if (parts_.size() == 1 && x.is_cpu()) {
        const bool adds_bias = mode_.multiplied == at::kFloat;
        y = detail::cpu_product(factor, parts_.front(), adds_bias ? bias_ : at::Tensor());
        if (adds_bias) return y;
        y = y.to(mode_.carried);
    } else if (parts_.size() == 1) {
        return at::linear(factor, parts_.front(), device_bias_).to(mode_.carried);
    } else {
        const at::Tensor rows = factor.flatten(0, -2);
        y = at::empty({rows.size(0), rows_}, x.options().dtype(mode_.carried));
        std::int64_t first = 0;
        for (const auto& part : parts_) {
            detail::cpu_product_into(y.narrow(1, first, part.size(0)), rows, part);
            first += part.size(0);
        }
        std::vector<std::int64_t> shape = x.sizes().vec();
        shape.back() = rows_;
        y = y.view(shape);
    }
    if (bias_.defined()) y.add_(bias_);
    return y;
}

at::Tensor Linear::transposed(const at::Tensor& x) const {
    const at::Tensor factor = mode_.factor(x);
    if (parts_.size() == 1 && !x.is_cpu()) return at::matmul(factor, parts_.front()).to(mode_.carried);
    at::Tensor sum;
    std::int64_t first = 0;
    for (const auto& part : parts_) {
        const at::Tensor columns =
            parts_.size() == 1 ? factor : factor.narrow(-1, first, part.size(0)).contiguous();
        const at::Tensor product = detail::cpu_product(columns, part.t(), {}).to(mode_.carried);
        sum = sum.defined() ? sum.add_(product) : product;
        first += part.size(0);
    }
    return sum;
}

}  // namespace memcap::nn
