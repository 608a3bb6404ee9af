// Convolution and scan of state-space models with their input gradients.
#include "memcap/nn/state_space.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "memcap/base/contracts.hpp"
#include "memcap/nn/activation.hpp"
#include "nn/detail/device_operations.hpp"
#include "nn/detail/device_runtime.hpp"
#include "nn/detail/scan_kernel.hpp"
#include "nn/kernels/cpu_kernels.hpp"

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Channels of one task: a fixed number, so that sums over channels do not depend on batch or threads.
constexpr std::int64_t kTaskChannels = 256;

struct KeptSegments : torch::CustomClassHolder {
    explicit KeptSegments(Segments kept) : segments(std::move(kept)) {}
    Segments segments;
};

/// A convolution's frozen side.
struct Taps {
    at::Tensor weight_KC;
    at::Tensor bias;
};

/// The kernel over each slot of x [R, C].
at::Tensor convolved(void (*kernel)(const kernels::ConvolutionTask&), const at::Tensor& x,
                     const Segments& segments, const at::Tensor& taps_KC, const at::Tensor& bias) {
    at::Tensor y = at::empty_like(x);
    const std::int64_t channels = x.size(1);
    at::parallel_for(0, segments.count(), 1, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t slot = first; slot < last; ++slot) {
            const std::int64_t offset = segments.first(slot) * channels;
            kernel({.positions = segments.length(slot),
                    .channels = channels,
                    .taps = taps_KC.size(0),
                    .x = x.const_data_ptr<float>() + offset,
                    .weight = taps_KC.const_data_ptr<float>(),
                    .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                    .y = y.mutable_data_ptr<float>() + offset});
        }
    });
    return y;
}

struct ConvolutionFunction : torch::autograd::Function<ConvolutionFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Segments& segments,
                              const Taps& taps) {
        context->saved_data["taps"] = taps.weight_KC;
        context->saved_data["segments"] =
            at::IValue::make_capsule(c10::make_intrusive<KeptSegments>(segments));
        if (const auto* kernels = detail::kernels_on(x.device()))
            return detail::device_convolution(*kernels, x.contiguous(), detail::equal_slots(segments),
                                              taps.weight_KC, taps.bias);
        return convolved(kernels::cpu_kernels().convolution_forward, x.contiguous(), segments, taps.weight_KC,
                         taps.bias);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto kept = context->saved_data["segments"].toCapsule();
        const Segments& segments = static_cast<const KeptSegments&>(*kept).segments;
        const at::Tensor at_y = gradients[0].contiguous();
        const at::Tensor taps_KC = context->saved_data["taps"].toTensor();
        if (const auto* kernels = detail::kernels_on(at_y.device())) {
            return {
                detail::device_convolution_gradient(*kernels, at_y, detail::equal_slots(segments), taps_KC),
                {},
                {}};
        }
        return {convolved(kernels::cpu_kernels().convolution_backward, at_y, segments, taps_KC, {}), {}, {}};
    }
};

/// The tasks of a scan over whole, contiguous tensors: slots times runs of channels inside a group.
class ScanTasks {
  public:
    ScanTasks(const ScanInputs& inputs, const Segments& segments, const at::Tensor& decay,
              const at::Tensor& skip)
        : inputs_(inputs),
          segments_(segments),
          decay_(decay),
          skip_(skip),
          channels_(inputs.x.size(1)),
          groups_(inputs.input.size(1)),
          states_(inputs.input.size(2)),
          group_channels_(channels_ / groups_),
          runs_(groups_ * ((group_channels_ + kTaskChannels - 1) / kTaskChannels)) {}

    std::int64_t count() const { return segments_.count() * runs_; }
    std::int64_t groups() const { return groups_; }
    std::int64_t states() const { return states_; }
    std::int64_t runs_of_group() const { return runs_ / groups_; }

    /// Offset in elements of a task's first channel at position 0 in [R, C].
    std::int64_t offset(std::int64_t index) const {
        return segments_.first(index / runs_) * channels_ + first_channel(index % runs_);
    }

    /// Offset in elements of a task's part [T, S] in [R * runs, S]: the parts of a slot's tasks one after the
    /// other.
    std::int64_t part(std::int64_t index) const {
        const std::int64_t slot = index / runs_;
        return (segments_.first(slot) * runs_ + index % runs_ * segments_.length(slot)) * states_;
    }

    detail::ScanTask task(std::int64_t index) const {
        const std::int64_t run = index % runs_;
        const std::int64_t slot = index / runs_;
        const std::int64_t group = run / runs_of_group();
        const std::int64_t first = first_channel(run);
        const std::int64_t at_states = (segments_.first(slot) * groups_ + group) * states_;
        return {.positions = segments_.length(slot),
                .channels = std::min(kTaskChannels, (group + 1) * group_channels_ - first),
                .states = states_,
                .one_decay = decay_.size(1) != states_,
                .x = inputs_.x.const_data_ptr<float>() + offset(index),
                .step = inputs_.step.const_data_ptr<float>() + offset(index),
                .channel_stride = channels_,
                .input = inputs_.input.const_data_ptr<float>() + at_states,
                .output = inputs_.output.const_data_ptr<float>() + at_states,
                .state_stride = groups_ * states_,
                .decay = decay_.const_data_ptr<float>() + first * decay_.size(1),
                .skip = skip_.const_data_ptr<float>() + first};
    }

  private:
    std::int64_t first_channel(std::int64_t run) const {
        return run / runs_of_group() * group_channels_ + run % runs_of_group() * kTaskChannels;
    }

    const ScanInputs& inputs_;
    const Segments& segments_;
    const at::Tensor& decay_;
    const at::Tensor& skip_;
    std::int64_t channels_;
    std::int64_t groups_;
    std::int64_t states_;
    std::int64_t group_channels_;
    std::int64_t runs_;
};

struct ScanFunction : torch::autograd::Function<ScanFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& step,
                              const at::Tensor& input, const at::Tensor& output, const Segments& segments,
                              const at::Tensor& decay, const at::Tensor& skip) {
        const ScanInputs inputs{x, step, input, output};
        context->save_for_backward({x, step, input, output});
        context->saved_data["segments"] =
            at::IValue::make_capsule(c10::make_intrusive<KeptSegments>(segments));
        context->saved_data["decay"] = decay;
        context->saved_data["skip"] = skip;
        if (const auto* kernels = detail::kernels_on(x.device()))
            return detail::device_scan(*kernels, inputs, detail::equal_slots(segments), decay, skip);
        at::Tensor y = at::empty_like(x);
        float* to = y.mutable_data_ptr<float>();
        const ScanTasks tasks(inputs, segments, decay, skip);
        at::parallel_for(0, tasks.count(), 1, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t i = first; i < last; ++i)
                detail::scan_forward(tasks.task(i), to + tasks.offset(i));
        });
        return y;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const auto kept = context->saved_data["segments"].toCapsule();
        const Segments& segments = static_cast<const KeptSegments&>(*kept).segments;
        const ScanInputs inputs{saved[0], saved[1], saved[2], saved[3]};
        const at::Tensor decay = context->saved_data["decay"].toTensor();
        const at::Tensor skip = context->saved_data["skip"].toTensor();
        const at::Tensor at_y = gradients[0].contiguous();
        if (const auto* kernels = detail::kernels_on(at_y.device())) {
            const auto at = detail::device_scan_gradients(*kernels, inputs, detail::equal_slots(segments),
                                                          decay, skip, at_y);
            return {at.x, at.step, at.input, at.output, {}, {}, {}};
        }
        at::Tensor at_x = at::empty_like(inputs.x);
        at::Tensor at_step = at::empty_like(inputs.step);
        const ScanTasks tasks(inputs, segments, decay, skip);
        // Gradients of input and of output by each task.
        const std::int64_t runs = tasks.count() / segments.count();
        const at::Tensor parts = at::empty({2, segments.rows() * runs, tasks.states()}, inputs.x.options());
        const float* from = at_y.const_data_ptr<float>();
        float* to_x = at_x.mutable_data_ptr<float>();
        float* to_step = at_step.mutable_data_ptr<float>();
        float* to_input = parts[0].mutable_data_ptr<float>();
        float* to_output = parts[1].mutable_data_ptr<float>();
        at::parallel_for(0, tasks.count(), 1, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t i = first; i < last; ++i) {
                detail::scan_backward(tasks.task(i), {.y = from + tasks.offset(i),
                                                      .x = to_x + tasks.offset(i),
                                                      .step = to_step + tasks.offset(i),
                                                      .input = to_input + tasks.part(i),
                                                      .output = to_output + tasks.part(i)});
            }
        });
        return {
            at_x, at_step, over_groups(parts[0], segments, tasks), over_groups(parts[1], segments, tasks), {},
            {},   {}};
    }

    /// [R * runs, S] -> [R, G, S]: sums over the tasks of each group.
    static at::Tensor over_groups(const at::Tensor& parts, const Segments& segments, const ScanTasks& tasks) {
        const std::int64_t runs = tasks.groups() * tasks.runs_of_group();
        std::vector<at::Tensor> slots;
        for (std::int64_t slot = 0; slot < segments.count(); ++slot) {
            slots.push_back(parts.narrow(0, segments.first(slot) * runs, segments.length(slot) * runs)
                                .view({tasks.groups(), tasks.runs_of_group(), segments.length(slot), -1})
                                .sum(1)
                                .transpose(0, 1));
        }
        return at::cat(slots);
    }
};

}  // namespace

at::Tensor causal_convolution(const at::Tensor& x, const Segments& segments, const at::Tensor& weight,
                              const at::Tensor& bias) {
    MEMCAP_EXPECT(x.dim() == 2 && x.size(0) == segments.rows() && weight.size(0) == x.size(1));
    return ConvolutionFunction::apply(x.to(at::kFloat), segments, Taps{weight.t().contiguous(), bias});
}

at::Tensor softplus(const at::Tensor& x) {
    // libtorch's own rounds the last elements of a thread otherwise than those before them.
    return activate(x.to(at::kFloat), Activation::softplus);
}

at::Tensor selective_scan(const ScanInputs& inputs, const Segments& segments, const at::Tensor& decay,
                          const at::Tensor& skip) {
    MEMCAP_EXPECT(inputs.x.sizes() == inputs.step.sizes() && inputs.input.sizes() == inputs.output.sizes());
    MEMCAP_EXPECT(inputs.x.dim() == 2 && inputs.x.size(0) == segments.rows());
    MEMCAP_EXPECT(inputs.x.size(1) % inputs.input.size(1) == 0 && decay.size(0) == inputs.x.size(1));
    MEMCAP_EXPECT(decay.size(1) == 1 || decay.size(1) == inputs.input.size(2));
    const auto plain = [](const at::Tensor& x) { return x.to(at::kFloat).contiguous(); };
    return ScanFunction::apply(plain(inputs.x), plain(inputs.step), plain(inputs.input), plain(inputs.output),
                               segments, decay.contiguous(), skip.contiguous());
}

}  // namespace memcap::nn
