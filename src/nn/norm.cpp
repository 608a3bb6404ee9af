// Autograd nodes of the normalisations and of sums that are normalised.
#include "memcap/nn/norm.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "memcap/base/contracts.hpp"
#include "nn/detail/device_operations.hpp"
#include "nn/detail/device_runtime.hpp"
#include "nn/kernels/cpu_kernels.hpp"

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum class Centre : bool { keep, remove };

/// Rows that are worth a thread of their own.
std::int64_t grain_rows(std::int64_t width) {
    constexpr std::int64_t kGrainElements = 16'384;
    return std::max<std::int64_t>(1, kGrainElements / width);
}

const float* data_or_null(const at::Tensor& tensor) {
    return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

/// A weight of more than one row repeats over the rows of x.
std::int64_t rows_of(const at::Tensor& weight) {
    return weight.defined() ? weight.numel() / weight.size(-1) : 1;
}

/// The frozen side of a normalisation, kept by the node without being an input of it.
struct Scales {
    at::Tensor weight;
    at::Tensor bias;
};

/// Inputs: x and, if there is one, what is added to it. Outputs: the normalised rows, and then the sum.
struct NormFunction : torch::autograd::Function<NormFunction> {
    static variable_list forward(AutogradContext* context, const at::Tensor& given,
                                 const std::optional<at::Tensor>& given_added, const Scales& scales,
                                 double epsilon, Centre centre, at::ScalarType result) {
        const at::Tensor x = given.contiguous();
        const at::Tensor added = given_added ? given_added->contiguous() : at::Tensor();
        context->saved_data["weight"] = scales.weight;
        if (const auto* kernels = detail::kernels_on(x.device())) {
            const auto norm = detail::device_norm(*kernels, x, added, scales.weight, scales.bias, epsilon,
                                                  centre == Centre::remove, result);
            return keep(context, norm, x, added);
        }
        MEMCAP_EXPECT(result == at::kFloat);
        const std::int64_t width = x.size(-1);
        const std::int64_t rows = x.numel() / width;
        const at::Tensor sum = added.defined() ? at::empty_like(x) : at::Tensor();
        const at::Tensor y = at::empty_like(x);
        const at::Tensor mean = centre == Centre::remove ? at::empty({rows}, x.options()) : at::Tensor();
        const at::Tensor inverse = at::empty({rows}, x.options());
        at::parallel_for(0, rows, grain_rows(width), [&](std::int64_t first, std::int64_t last) {
            const std::int64_t offset = first * width;
            kernels::cpu_kernels().norm_forward(
                {.rows = last - first,
                 .width = width,
                 .x = x.const_data_ptr<float>() + offset,
                 .added = added.defined() ? added.const_data_ptr<float>() + offset : nullptr,
                 .weight = data_or_null(scales.weight),
                 .weight_rows = rows_of(scales.weight),
                 .first_row = first,
                 .bias = data_or_null(scales.bias),
                 .epsilon = epsilon,
                 .sum = sum.defined() ? sum.mutable_data_ptr<float>() + offset : nullptr,
                 .y = y.mutable_data_ptr<float>() + offset,
                 .mean = mean.defined() ? mean.mutable_data_ptr<float>() + first : nullptr,
                 .inverse = inverse.mutable_data_ptr<float>() + first});
        });
        return keep(context, {.y = y, .sum = sum, .mean = mean, .inverse = inverse}, x, added);
    }

    /// What the backward needs goes into the context; returns the node's outputs.
    static variable_list keep(AutogradContext* context, const detail::DeviceNorm& norm, const at::Tensor& x,
                              const at::Tensor& added) {
        const bool has_sum = norm.sum.defined();
        context->set_materialize_grads(false);
        context->save_for_backward({has_sum ? norm.sum : x, norm.mean, norm.inverse});
        context->saved_data["x_type"] = x.scalar_type();
        context->saved_data["added_type"] = has_sum ? added.scalar_type() : x.scalar_type();
        if (has_sum) return {norm.y, norm.sum};
        return {norm.y};
    }

    /// The gradients of a GPU's tensors, each in the type of what it belongs to.
    static variable_list device_backward(AutogradContext* context, const cuda::Kernels& kernels,
                                         const at::Tensor& gradient, const at::Tensor& through_sum,
                                         bool was_sum) {
        const auto saved = context->get_saved_variables();
        const auto gradients = detail::device_norm_gradients(
            kernels, {.y = {}, .sum = saved[0], .mean = saved[1], .inverse = saved[2]},
            context->saved_data["weight"].toTensor(), gradient, through_sum,
            context->saved_data["added_type"].toScalarType());
        const auto x_type = context->saved_data["x_type"].toScalarType();
        return {gradients.x.to(x_type), was_sum ? gradients.added : at::Tensor(), {}, {}, {}, {}};
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor& x = saved[0];
        const at::Tensor weight = context->saved_data["weight"].toTensor();
        const at::Tensor through_sum =
            gradients.size() > 1 && gradients[1].defined() ? gradients[1].contiguous() : at::Tensor();
        const bool was_sum = gradients.size() > 1;
        if (!gradients[0].defined())
            return {through_sum, was_sum ? through_sum : at::Tensor(), {}, {}, {}, {}};
        const at::Tensor gradient = gradients[0].contiguous();
        if (const auto* kernels = detail::kernels_on(x.device()))
            return device_backward(context, *kernels, gradient, through_sum, was_sum);
        const std::int64_t width = x.size(-1);
        const at::Tensor gradient_x = at::empty_like(x);
        at::parallel_for(0, x.numel() / width, grain_rows(width), [&](std::int64_t first, std::int64_t last) {
            const std::int64_t offset = first * width;
            kernels::cpu_kernels().norm_backward(
                {.rows = last - first,
                 .width = width,
                 .x = x.const_data_ptr<float>() + offset,
                 .weight = data_or_null(weight),
                 .weight_rows = rows_of(weight),
                 .first_row = first,
                 .mean = saved[1].defined() ? saved[1].const_data_ptr<float>() + first : nullptr,
                 .inverse = saved[2].const_data_ptr<float>() + first,
                 .gradient = gradient.const_data_ptr<float>() + offset,
                 .gradient_sum =
                     through_sum.defined() ? through_sum.const_data_ptr<float>() + offset : nullptr,
                 .gradient_x = gradient_x.mutable_data_ptr<float>() + offset});
        });
        return {gradient_x, was_sum ? gradient_x : at::Tensor(), {}, {}, {}, {}};
    }
};

at::Tensor normalised(const at::Tensor& x, const Scales& scales, double epsilon, Centre centre,
                      at::ScalarType result) {
    return NormFunction::apply(x, std::nullopt, scales, epsilon, centre, result)[0];
}

SumAndNorm sum_and_norm(const at::Tensor& x, const at::Tensor& added, const Scales& scales, double epsilon,
                        Centre centre, at::ScalarType result) {
    MEMCAP_EXPECT(x.sizes() == added.sizes());
    auto results = NormFunction::apply(x, std::optional(added), scales, epsilon, centre, result);
    return {.sum = std::move(results[1]), .normalised = std::move(results[0])};
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType result) {
    return normalised(x, {weight, {}}, epsilon, Centre::keep, result);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon,
                      at::ScalarType result) {
    return normalised(x, {weight, bias}, epsilon, Centre::remove, result);
}

SumAndNorm add_rms_norm(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                        double epsilon, at::ScalarType result) {
    return sum_and_norm(x, added, {weight, {}}, epsilon, Centre::keep, result);
}

SumAndNorm add_layer_norm(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                          const at::Tensor& bias, double epsilon, at::ScalarType result) {
    return sum_and_norm(x, added, {weight, bias}, epsilon, Centre::remove, result);
}

}  // namespace memcap::nn
