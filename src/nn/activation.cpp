// Autograd nodes of the non-linearities and their gates.
#include "memcap/nn/activation.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "nn/detail/device_operations.hpp"
#include "nn/detail/device_runtime.hpp"
#include "nn/kernels/cpu_kernels.hpp"

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum class Gate : bool { absent, present };

/// Runs `kernel` over the rows of a task that describes all of them.
void over_rows(void (*kernel)(const kernels::ActivationTask&), const kernels::ActivationTask& all,
               std::int64_t input_step, std::int64_t gradient_step, std::int64_t result_step) {
    constexpr std::int64_t kGrainElements = 8'192;
    const std::int64_t grain = std::max<std::int64_t>(1, kGrainElements / all.width);
    at::parallel_for(0, all.rows, grain, [&](std::int64_t first, std::int64_t last) {
        kernels::ActivationTask some = all;
        some.rows = last - first;
        some.x += first * input_step;
        if (some.gradient != nullptr) some.gradient += first * gradient_step;
        some.result += first * result_step;
        kernel(some);
    });
}

/// x: [..., M], or with a gate [..., 2 M].
struct ActivationFunction : torch::autograd::Function<ActivationFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& given, Activation kind, Gate gate) {
        const at::Tensor x = given.contiguous();
        const bool gated = gate == Gate::present;
        context->save_for_backward({x});
        context->saved_data["kind"] = static_cast<std::int64_t>(kind);
        context->saved_data["gated"] = gated;
        if (const auto* kernels = detail::kernels_on(x.device()))
            return detail::device_activation(*kernels, x, kind, gated);
        std::vector<std::int64_t> shape = x.sizes().vec();
        if (gated) shape.back() /= 2;
        at::Tensor y = at::empty(shape, x.options());
        const std::int64_t width = shape.back();
        over_rows(kernels::cpu_kernels().activation_forward,
                  {.kind = kind,
                   .gated = gated,
                   .rows = y.numel() / width,
                   .width = width,
                   .x = x.const_data_ptr<float>(),
                   .gradient = nullptr,
                   .result = y.mutable_data_ptr<float>()},
                  x.size(-1), 0, width);
        return y;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const at::Tensor x = context->get_saved_variables()[0];
        const at::Tensor gradient = gradients[0].contiguous();
        const auto kind = static_cast<Activation>(context->saved_data["kind"].toInt());
        const bool gated = context->saved_data["gated"].toBool();
        if (const auto* kernels = detail::kernels_on(x.device()))
            return {detail::device_activation_gradient(*kernels, x, gradient, kind, gated), {}, {}};
        const at::Tensor gradient_x = at::empty_like(x);
        const std::int64_t width = gradient.size(-1);
        over_rows(kernels::cpu_kernels().activation_backward,
                  {.kind = kind,
                   .gated = gated,
                   .rows = gradient.numel() / width,
                   .width = width,
                   .x = x.const_data_ptr<float>(),
                   .gradient = gradient.const_data_ptr<float>(),
                   .result = gradient_x.mutable_data_ptr<float>()},
                  x.size(-1), width, x.size(-1));
        return {gradient_x, {}, {}};
    }
};

}  // namespace

at::Tensor activate(const at::Tensor& x, Activation kind) {
    return ActivationFunction::apply(x, kind, Gate::absent);
}

at::Tensor gated(const at::Tensor& gate_up, Activation kind) {
    return ActivationFunction::apply(gate_up, kind, Gate::present);
}

at::Tensor clip(const at::Tensor& x, double lowest, double highest) {
    return x.clamp(lowest, highest);
}

}  // namespace memcap::nn
