// Gates and their gradients.
#include "memcap/nn/gated_mlp.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SiluGateFunction : torch::autograd::Function<SiluGateFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up) {
        context->save_for_backward({gate_up});
        const auto halves = gate_up.chunk(2, -1);
        return at::silu(halves[0]).mul_(halves[1]);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const at::Tensor gate_up = context->get_saved_variables()[0];
        const auto halves = gate_up.chunk(2, -1);
        at::Tensor gradient = at::empty_like(gate_up);
        auto parts = gradient.chunk(2, -1);
        parts[0].copy_(at::silu_backward(gradients[0].mul(halves[1]), halves[0]));
        at::mul_out(parts[1], gradients[0], at::silu(halves[0]));
        return {gradient};
    }
};

}  // namespace

at::Tensor silu_gate(const at::Tensor& gate_up) {
    return SiluGateFunction::apply(gate_up);
}

}  // namespace memcap::nn
