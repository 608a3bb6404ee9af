// From tensors to tasks of a GPU's kernels.
#include "nn/detail/device_operations.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <vector>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "nn/detail/device_runtime.hpp"

namespace memcap::nn::detail {

namespace {

const float* floats(const at::Tensor& tensor) {
    return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

float* mutable_floats(const at::Tensor& tensor) {
    return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr;
}

/// A weight of more than one row repeats over the rows of x.
std::int64_t rows_of(const at::Tensor& weight) {
    return weight.defined() ? weight.numel() / weight.size(-1) : 1;
}

cuda::ActivationTask activation_task(const at::Tensor& x, const at::Tensor& at_result, Activation kind,
                                     bool gated) {
    const std::int64_t width = at_result.size(-1);
    return {.kind = kind,
            .gated = gated,
            .rows = at_result.numel() / width,
            .width = width,
            .element = element_of(x.scalar_type()),
            .x = x.const_data_ptr()};
}

cuda::Heads heads_of(const at::Tensor& heads) {
    MEMCAP_EXPECT(heads.stride(3) == 1 || heads.size(3) == 1);
    return {heads.data_ptr(), heads.stride(0), heads.stride(1), heads.stride(2)};
}

cuda::HeadsTask heads_task(const at::Tensor& projected, const DeviceHeads& heads, const HeadLayout& layout,
                           const at::Tensor& cosine, const at::Tensor& sine) {
    const auto number = [](std::int64_t value) { return static_cast<std::int32_t>(value); };
    return {.slots = heads.query.size(0),
            .positions = heads.query.size(2),
            .query_heads = number(layout.query_heads),
            .key_heads = number(layout.key_heads),
            .head_width = number(layout.head_width),
            .query_stride = number(layout.query_stride),
            .key_first = number(layout.key_first),
            .key_stride = number(layout.key_stride),
            .value_first = number(layout.value_first),
            .rotated = cosine.defined() ? number(2 * cosine.size(1)) : 0,
            .cosine = floats(cosine),
            .sine = floats(sine),
            .projected = {projected.data_ptr(), element_of(projected.scalar_type())},
            .element = element_of(heads.query.scalar_type()),
            .query = heads_of(heads.query),
            .key = heads_of(heads.key),
            .value = heads_of(heads.value)};
}

cuda::ConvolutionTask convolution_task(const at::Tensor& x, const EqualSlots& slots, const at::Tensor& taps,
                                       const at::Tensor& bias, const at::Tensor& y) {
    return {.slots = slots.count,
            .positions = slots.positions,
            .channels = x.size(1),
            .taps = taps.size(0),
            .x = floats(x),
            .weight = floats(taps),
            .bias = floats(bias),
            .y = mutable_floats(y)};
}

cuda::ScanTask scan_task(const ScanInputs& inputs, const EqualSlots& slots, const at::Tensor& decay,
                         const at::Tensor& skip) {
    return {.slots = slots.count,
            .positions = slots.positions,
            .channels = inputs.x.size(1),
            .groups = inputs.input.size(1),
            .states = inputs.input.size(2),
            .one_decay = decay.size(1) != inputs.input.size(2),
            .x = floats(inputs.x),
            .step = floats(inputs.step),
            .input = floats(inputs.input),
            .output = floats(inputs.output),
            .decay = floats(decay),
            .skip = floats(skip)};
}

}  // namespace

EqualSlots equal_slots(const Segments& segments) {
    if (!segments.is_uniform()) {
        throw DeviceError({.what = "slots of several lengths cannot be computed together on a GPU",
                           .where = fmt::format("{} slots of up to {} positions, {} rows", segments.count(),
                                                segments.longest(), segments.rows()),
                           .why = "its kernels take slots of one length",
                           .advice = "Lay the rows out in fixed buckets"});
    }
    return {segments.count(), segments.longest()};
}

DeviceNorm device_norm(const cuda::Kernels& kernels, const at::Tensor& x, const at::Tensor& added,
                       const at::Tensor& weight, const at::Tensor& bias, double epsilon, bool centred,
                       at::ScalarType result) {
    const std::int64_t width = x.size(-1);
    const std::int64_t rows = x.numel() / width;
    const at::TensorOptions as_float = x.options().dtype(at::kFloat);
    DeviceNorm norm{.y = at::empty(x.sizes(), x.options().dtype(result)),
                    .sum = added.defined() ? at::empty(x.sizes(), as_float) : at::Tensor(),
                    .mean = centred ? at::empty({rows}, as_float) : at::Tensor(),
                    .inverse = at::empty({rows}, as_float)};
    launch(x.device(), "a normalisation", [&](cuda::Stream stream) {
        return kernels.norm_forward({.rows = rows,
                                     .width = width,
                                     .x = source_of(x),
                                     .added = source_of(added),
                                     .weight = floats(weight),
                                     .weight_rows = rows_of(weight),
                                     .bias = floats(bias),
                                     .epsilon = static_cast<float>(epsilon),
                                     .sum = mutable_floats(norm.sum),
                                     .y = target_of(norm.y),
                                     .mean = mutable_floats(norm.mean),
                                     .inverse = mutable_floats(norm.inverse)},
                                    stream);
    });
    return norm;
}

DeviceNormGradients device_norm_gradients(const cuda::Kernels& kernels, const DeviceNorm& norm,
                                          const at::Tensor& weight, const at::Tensor& gradient,
                                          const at::Tensor& through_sum, at::ScalarType added_type) {
    const at::Tensor& x = norm.sum;
    const std::int64_t width = x.size(-1);
    const bool twice = added_type != x.scalar_type();
    const at::Tensor at_x = at::empty_like(x);
    const at::Tensor at_added = twice ? at::empty(x.sizes(), x.options().dtype(added_type)) : at::Tensor();
    launch(x.device(), "a normalisation's gradient", [&](cuda::Stream stream) {
        return kernels.norm_backward({.rows = x.numel() / width,
                                      .width = width,
                                      .x = source_of(x),
                                      .weight = floats(weight),
                                      .weight_rows = rows_of(weight),
                                      .mean = floats(norm.mean),
                                      .inverse = floats(norm.inverse),
                                      .gradient = source_of(gradient),
                                      .gradient_sum = floats(through_sum),
                                      .gradient_x = target_of(at_x),
                                      .gradient_added = target_of(at_added)},
                                     stream);
    });
    return {at_x, twice ? at_added : at_x};
}

at::Tensor device_activation(const cuda::Kernels& kernels, const at::Tensor& x, Activation kind, bool gated) {
    std::vector<std::int64_t> shape = x.sizes().vec();
    if (gated) shape.back() /= 2;
    at::Tensor y = at::empty(shape, x.options());
    cuda::ActivationTask task = activation_task(x, y, kind, gated);
    task.result = y.mutable_data_ptr();
    launch(x.device(), "an activation",
           [&](cuda::Stream stream) { return kernels.activation_forward(task, stream); });
    return y;
}

at::Tensor device_activation_gradient(const cuda::Kernels& kernels, const at::Tensor& x,
                                      const at::Tensor& gradient, Activation kind, bool gated) {
    MEMCAP_EXPECT(gradient.scalar_type() == x.scalar_type());
    at::Tensor at_x = at::empty_like(x);
    cuda::ActivationTask task = activation_task(x, gradient, kind, gated);
    task.gradient = gradient.const_data_ptr();
    task.result = at_x.mutable_data_ptr();
    launch(x.device(), "an activation's gradient",
           [&](cuda::Stream stream) { return kernels.activation_backward(task, stream); });
    return at_x;
}

void device_head_rows(const cuda::Kernels& kernels, const at::Tensor& logits, const at::Tensor& target,
                      const at::Tensor& weight, const at::Tensor& sharpness, double soft_cap,
                      const at::Tensor& nll_nats, const at::Tensor& correct) {
    MEMCAP_EXPECT(logits.is_contiguous() && target.is_contiguous() && nll_nats.is_contiguous());
    launch(logits.device(), "the head's loss", [&](cuda::Stream stream) {
        return kernels.head_rows({.rows = logits.size(0),
                                  .vocabulary = logits.size(1),
                                  .logits = target_of(logits),
                                  .target = target.const_data_ptr<std::int64_t>(),
                                  .weight = floats(weight),
                                  .sharpness = floats(sharpness),
                                  .soft_cap = static_cast<float>(soft_cap),
                                  .nll_nats = mutable_floats(nll_nats),
                                  .correct = correct.mutable_data_ptr<bool>()},
                                 stream);
    });
}

DeviceHeads device_heads(const cuda::Kernels& kernels, const at::Tensor& projected, const EqualSlots& slots,
                         const HeadLayout& layout, const at::Tensor& cosine, const at::Tensor& sine,
                         at::ScalarType type) {
    // Position by position, as fused attention reads and writes them: its result then needs no copy.
    const auto empty = [&](std::int64_t heads) {
        return at::empty({slots.count, slots.positions, heads, layout.head_width},
                         projected.options().dtype(type))
            .transpose(1, 2);
    };
    DeviceHeads heads{empty(layout.query_heads), empty(layout.key_heads), empty(layout.key_heads)};
    launch(projected.device(), "the split into heads", [&](cuda::Stream stream) {
        return kernels.split_heads(heads_task(projected, heads, layout, cosine, sine), stream);
    });
    return heads;
}

at::Tensor device_heads_gradient(const cuda::Kernels& kernels, const DeviceHeads& gradients,
                                 const HeadLayout& layout, const at::Tensor& cosine, const at::Tensor& sine,
                                 at::ScalarType type) {
    const auto with_rows = [](const at::Tensor& x) {
        return x.stride(3) == 1 || x.size(3) == 1 ? x : x.contiguous();
    };
    const DeviceHeads heads{with_rows(gradients.query), with_rows(gradients.key), with_rows(gradients.value)};
    at::Tensor at_projected = at::empty({heads.query.size(0) * heads.query.size(2), layout.width()},
                                        heads.query.options().dtype(type));
    launch(at_projected.device(), "the gradient of heads", [&](cuda::Stream stream) {
        return kernels.join_heads(heads_task(at_projected, heads, layout, cosine, sine), stream);
    });
    return at_projected;
}

at::Tensor device_convolution(const cuda::Kernels& kernels, const at::Tensor& x, const EqualSlots& slots,
                              const at::Tensor& taps, const at::Tensor& bias) {
    at::Tensor y = at::empty_like(x);
    launch(y.device(), "a convolution", [&](cuda::Stream stream) {
        return kernels.convolution_forward(convolution_task(x, slots, taps, bias, y), stream);
    });
    return y;
}

at::Tensor device_convolution_gradient(const cuda::Kernels& kernels, const at::Tensor& gradient,
                                       const EqualSlots& slots, const at::Tensor& taps) {
    at::Tensor at_x = at::empty_like(gradient);
    launch(at_x.device(), "a convolution's gradient", [&](cuda::Stream stream) {
        return kernels.convolution_backward(convolution_task(gradient, slots, taps, {}, at_x), stream);
    });
    return at_x;
}

at::Tensor device_scan(const cuda::Kernels& kernels, const ScanInputs& inputs, const EqualSlots& slots,
                       const at::Tensor& decay, const at::Tensor& skip) {
    at::Tensor y = at::empty_like(inputs.x);
    launch(y.device(), "a selective scan", [&](cuda::Stream stream) {
        return kernels.scan_forward(scan_task(inputs, slots, decay, skip), y.mutable_data_ptr<float>(),
                                    stream);
    });
    return y;
}

ScanInputs device_scan_gradients(const cuda::Kernels& kernels, const ScanInputs& inputs,
                                 const EqualSlots& slots, const at::Tensor& decay, const at::Tensor& skip,
                                 const at::Tensor& gradient) {
    const cuda::ScanTask task = scan_task(inputs, slots, decay, skip);
    const cuda::ScanSizes sizes = kernels.scan_sizes(task);
    const at::TensorOptions options = inputs.x.options();
    const at::Tensor boundaries = at::empty({sizes.boundary_floats}, options);
    const at::Tensor parts =
        at::empty({2, task.slots, task.groups, sizes.parts, task.positions, task.states}, options);
    const at::Tensor at_x = at::empty_like(inputs.x);
    const at::Tensor at_step = at::empty_like(inputs.step);
    launch(at_x.device(), "a selective scan's gradient", [&](cuda::Stream stream) {
        return kernels.scan_backward(task,
                                     {.y = floats(gradient),
                                      .x = mutable_floats(at_x),
                                      .step = mutable_floats(at_step),
                                      .input_parts = mutable_floats(parts[0]),
                                      .output_parts = mutable_floats(parts[1]),
                                      .boundaries = mutable_floats(boundaries)},
                                     stream);
    });
    // [2, B, G, parts, T, S] -> [2, B * T, G, S]
    const at::Tensor sums = parts.sum(3).transpose(2, 3).flatten(1, 2);
    return {at_x, at_step, sums[0], sums[1]};
}

}  // namespace memcap::nn::detail
