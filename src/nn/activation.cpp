// Non-linearities, gates and their gradients.
#include "memcap/nn/activation.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "memcap/base/contracts.hpp"

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor value_of(const at::Tensor& x, Activation kind) {
    switch (kind) {
        case Activation::silu:
            return at::silu(x);
        case Activation::relu:
            return at::relu(x);
        case Activation::gelu:
            return at::gelu(x);
        case Activation::gelu_tanh:
            return at::gelu(x, "tanh");
    }
    MEMCAP_EXPECT(false);
}

/// gradient * f'(x)
at::Tensor gradient_of(const at::Tensor& gradient, const at::Tensor& x, Activation kind) {
    switch (kind) {
        case Activation::silu:
            return at::silu_backward(gradient, x);
        case Activation::relu:
            return at::threshold_backward(gradient, x, 0);
        case Activation::gelu:
            return at::gelu_backward(gradient, x);
        case Activation::gelu_tanh:
            return at::gelu_backward(gradient, x, "tanh");
    }
    MEMCAP_EXPECT(false);
}

Activation kind_of(AutogradContext* context) {
    return static_cast<Activation>(context->saved_data["kind"].toInt());
}

struct ActivateFunction : torch::autograd::Function<ActivateFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, std::int64_t kind) {
        context->save_for_backward({x});
        context->saved_data["kind"] = kind;
        return value_of(x, static_cast<Activation>(kind));
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        return {gradient_of(gradients[0], context->get_saved_variables()[0], kind_of(context)), {}};
    }
};

struct GatedFunction : torch::autograd::Function<GatedFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up, std::int64_t kind) {
        context->save_for_backward({gate_up});
        context->saved_data["kind"] = kind;
        const auto halves = gate_up.chunk(2, -1);
        return value_of(halves[0], static_cast<Activation>(kind)).mul_(halves[1]);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const Activation kind = kind_of(context);
        const at::Tensor gate_up = context->get_saved_variables()[0];
        const auto halves = gate_up.chunk(2, -1);
        at::Tensor gradient = at::empty_like(gate_up);
        auto parts = gradient.chunk(2, -1);
        parts[0].copy_(gradient_of(gradients[0].mul(halves[1]), halves[0], kind));
        at::mul_out(parts[1], gradients[0], value_of(halves[0], kind));
        return {gradient, {}};
    }
};

}  // namespace

at::Tensor activate(const at::Tensor& x, Activation kind) {
    return ActivateFunction::apply(x, static_cast<std::int64_t>(kind));
}

at::Tensor gated(const at::Tensor& gate_up, Activation kind) {
    return GatedFunction::apply(gate_up, static_cast<std::int64_t>(kind));
}

at::Tensor clip(const at::Tensor& x, double lowest, double highest) {
    return x.clamp(lowest, highest);
}

}  // namespace memcap::nn
