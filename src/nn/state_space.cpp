// Convolution and scan of state-space models with their input gradients.
#include "memcap/nn/state_space.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "memcap/base/contracts.hpp"
#include "nn/detail/device_operations.hpp"
#include "nn/detail/device_runtime.hpp"
#include "nn/detail/scan_kernel.hpp"

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Channels of one task: a fixed number, so that sums over channels do not depend on batch or threads.
constexpr std::int64_t kTaskChannels = 256;

struct ConvolutionFunction : torch::autograd::Function<ConvolutionFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                              const std::optional<at::Tensor>& bias) {
        context->saved_data["weight"] = weight;
        const std::int64_t taps = weight.size(1);
        const std::int64_t positions = x.size(1);
        at::Tensor y = x.mul(weight.select(1, taps - 1));
        for (std::int64_t back = 1; back < std::min(taps, positions); ++back) {
            y.narrow(1, back, positions - back)
                .addcmul_(x.narrow(1, 0, positions - back), weight.select(1, taps - 1 - back));
        }
        return bias ? y.add_(*bias) : y;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const at::Tensor weight = context->saved_data["weight"].toTensor();
        const std::int64_t taps = weight.size(1);
        const std::int64_t positions = gradients[0].size(1);
        at::Tensor gradient = gradients[0].mul(weight.select(1, taps - 1));
        for (std::int64_t back = 1; back < std::min(taps, positions); ++back) {
            gradient.narrow(1, 0, positions - back)
                .addcmul_(gradients[0].narrow(1, back, positions - back), weight.select(1, taps - 1 - back));
        }
        return {gradient, {}, {}};
    }
};

/// The tasks of a scan over whole, contiguous tensors: rows times runs of channels inside a group.
class ScanTasks {
  public:
    ScanTasks(const ScanInputs& inputs, const at::Tensor& decay, const at::Tensor& skip)
        : inputs_(inputs),
          decay_(decay),
          skip_(skip),
          positions_(inputs.x.size(1)),
          channels_(inputs.x.size(2)),
          groups_(inputs.input.size(2)),
          states_(inputs.input.size(3)),
          group_channels_(channels_ / groups_),
          runs_(groups_ * ((group_channels_ + kTaskChannels - 1) / kTaskChannels)) {}

    std::int64_t count() const { return inputs_.x.size(0) * runs_; }
    std::int64_t runs() const { return runs_; }  ///< tasks of one row
    std::int64_t group_of(std::int64_t run) const { return run / (runs_ / groups_); }

    /// Offset in elements of a task's first channel at position 0 in [B, T, C].
    std::int64_t offset(std::int64_t index) const {
        return index / runs_ * positions_ * channels_ + first_channel(index % runs_);
    }

    detail::ScanTask task(std::int64_t index) const {
        const std::int64_t run = index % runs_;
        const std::int64_t group = group_of(run);
        const std::int64_t first = first_channel(run);
        const std::int64_t at_states = (index / runs_ * positions_ * groups_ + group) * states_;
        return {.positions = positions_,
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
        const std::int64_t runs_of_group = runs_ / groups_;
        return run / runs_of_group * group_channels_ + run % runs_of_group * kTaskChannels;
    }

    const ScanInputs& inputs_;
    const at::Tensor& decay_;
    const at::Tensor& skip_;
    std::int64_t positions_;
    std::int64_t channels_;
    std::int64_t groups_;
    std::int64_t states_;
    std::int64_t group_channels_;
    std::int64_t runs_;
};

struct ScanFunction : torch::autograd::Function<ScanFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& step,
                              const at::Tensor& input, const at::Tensor& output, const at::Tensor& decay,
                              const at::Tensor& skip) {
        const ScanInputs inputs{x, step, input, output};
        context->save_for_backward({x, step, input, output});
        context->saved_data["decay"] = decay;
        context->saved_data["skip"] = skip;
        if (const auto* kernels = detail::kernels_on(x.device()))
            return detail::device_scan(*kernels, inputs, decay, skip);
        at::Tensor y = at::empty_like(x);
        float* to = y.mutable_data_ptr<float>();
        const ScanTasks tasks(inputs, decay, skip);
        at::parallel_for(0, tasks.count(), 1, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t i = first; i < last; ++i)
                detail::scan_forward(tasks.task(i), to + tasks.offset(i));
        });
        return y;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const ScanInputs inputs{saved[0], saved[1], saved[2], saved[3]};
        const at::Tensor decay = context->saved_data["decay"].toTensor();
        const at::Tensor skip = context->saved_data["skip"].toTensor();
        const at::Tensor at_y = gradients[0].contiguous();
        if (const auto* kernels = detail::kernels_on(at_y.device())) {
            const auto at = detail::device_scan_gradients(*kernels, inputs, decay, skip, at_y);
            return {at.x, at.step, at.input, at.output, {}, {}};
        }
        at::Tensor at_x = at::empty_like(inputs.x);
        at::Tensor at_step = at::empty_like(inputs.step);
        const ScanTasks tasks(inputs, decay, skip);
        const std::int64_t positions = inputs.x.size(1);
        const std::int64_t states = inputs.input.size(3);
        // [2, rows * runs, T, S]: gradients of input and of output by each task
        const at::Tensor parts = at::empty({2, tasks.count(), positions, states}, inputs.x.options());
        const float* from = at_y.const_data_ptr<float>();
        float* to_x = at_x.mutable_data_ptr<float>();
        float* to_step = at_step.mutable_data_ptr<float>();
        float* to_parts = parts.mutable_data_ptr<float>();
        at::parallel_for(0, tasks.count(), 1, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t i = first; i < last; ++i) {
                const std::int64_t part = i * positions * states;
                detail::scan_backward(tasks.task(i),
                                      {.y = from + tasks.offset(i),
                                       .x = to_x + tasks.offset(i),
                                       .step = to_step + tasks.offset(i),
                                       .input = to_parts + part,
                                       .output = to_parts + tasks.count() * positions * states + part});
            }
        });
        // [2, B, G, runs of a group, T, S] -> [2, B, T, G, S]
        const at::Tensor sums =
            parts.reshape({2, inputs.x.size(0), inputs.input.size(2), -1, positions, states})
                .sum(3)
                .transpose(2, 3);
        return {at_x, at_step, sums[0].contiguous(), sums[1].contiguous(), {}, {}};
    }
};

}  // namespace

at::Tensor causal_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    return ConvolutionFunction::apply(x.to(at::kFloat), weight,
                                      bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

at::Tensor softplus(const at::Tensor& x) {
    return at::softplus(x.to(at::kFloat));
}

at::Tensor selective_scan(const ScanInputs& inputs, const at::Tensor& decay, const at::Tensor& skip) {
    MEMCAP_EXPECT(inputs.x.sizes() == inputs.step.sizes() && inputs.input.sizes() == inputs.output.sizes());
    MEMCAP_EXPECT(inputs.x.size(2) % inputs.input.size(2) == 0 && decay.size(0) == inputs.x.size(2));
    MEMCAP_EXPECT(decay.size(1) == 1 || decay.size(1) == inputs.input.size(3));
    const auto plain = [](const at::Tensor& x) { return x.to(at::kFloat).contiguous(); };
    return ScanFunction::apply(plain(inputs.x), plain(inputs.step), plain(inputs.input), plain(inputs.output),
                               decay.contiguous(), skip.contiguous());
}

}  // namespace memcap::nn
