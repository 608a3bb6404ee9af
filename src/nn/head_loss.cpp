// One pass over chunks of rows: logits, loss, arg max and gradient.
#include "memcap/nn/head_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "memcap/base/contracts.hpp"
#include "nn/detail/device_operations.hpp"
#include "nn/detail/device_runtime.hpp"
#include "nn/kernels/cpu_kernels.hpp"

namespace memcap::nn {

namespace {
/// Rows whose logits exist at once: these fit the second cache of each thread's core, but products of fewer
/// rows than kFewestRows read the weights too often.
std::int64_t chunk_rows(std::int64_t vocabulary) {
    constexpr std::int64_t kCachedLogits = 262'144;
    constexpr std::int64_t kFewestRows = 256;
    return at::get_num_threads() * std::max(kFewestRows, kCachedLogits / vocabulary);
}

/// The same on a GPU, where many rows keep the products at their best speed: half a gigabyte of bfloat16
/// logits.
std::int64_t device_chunk_rows(std::int64_t vocabulary) {
    constexpr std::int64_t kMostRows = 8'192;
    return std::clamp<std::int64_t>(kMostDeviceLogits / vocabulary, 1, kMostRows);
}

/// Rows that are worth a thread of their own.
std::int64_t grain_rows(std::int64_t vocabulary) {
    constexpr std::int64_t kGrainLogits = 16'384;
    return std::max<std::int64_t>(1, kGrainLogits / vocabulary);
}

/// Of a chunk of rows.
RowLoss rows_of(const RowLoss& all, std::int64_t first, std::int64_t count) {
    return {.weight = all.weight.narrow(0, first, count).contiguous(),
            .sharpness =
                all.sharpness.defined() ? all.sharpness.narrow(0, first, count).contiguous() : at::Tensor()};
}

/// Null for a tensor that is undefined.
const float* floats_from(const at::Tensor& values, std::int64_t first) {
    return values.defined() ? values.const_data_ptr<float>() + first : nullptr;
}

/// Fills `loss` chunk by chunk; nothing here waits for the device.
void device_head_loss(const cuda::Kernels& kernels, const Head& head, const at::Tensor& hidden,
                      const at::Tensor& target, const std::optional<RowLoss>& differentiated,
                      HeadLoss& loss) {
    const std::int64_t rows = hidden.size(0);
    const std::int64_t chunk = device_chunk_rows(head.linear.weight().size(0));
    for (std::int64_t first = 0; first < rows; first += chunk) {
        const std::int64_t count = std::min(chunk, rows - first);
        const auto part = [&](const at::Tensor& all) { return all.narrow(0, first, count); };
        const at::Tensor logits = head.linear(part(hidden)).contiguous();
        const RowLoss rows_loss = differentiated ? rows_of(*differentiated, first, count) : RowLoss{};
        detail::device_head_rows(kernels, logits, part(target), rows_loss.weight, rows_loss.sharpness,
                                 head.soft_cap, part(loss.nll_nats), part(loss.correct));
        if (differentiated) part(loss.gradient).copy_(head.linear.transposed(logits));
    }
}

}  // namespace

at::Tensor Head::logits(const at::Tensor& hidden) const {
    const at::NoGradGuard no_gradients;
    at::Tensor logits = linear(hidden).to(at::kFloat);
    if (soft_cap != 0) logits.div_(soft_cap).tanh_().mul_(soft_cap);
    return logits;
}

HeadLoss head_loss(const Head& head, const at::Tensor& hidden, const at::Tensor& target,
                   const std::optional<RowLoss>& differentiated) {
    const std::int64_t rows = hidden.size(0);
    MEMCAP_EXPECT(hidden.dim() == 2 && target.size(0) == rows);
    MEMCAP_EXPECT(!differentiated || differentiated->weight.size(0) == rows);
    const at::NoGradGuard no_gradients;
    HeadLoss loss{.nll_nats = at::empty({rows}, hidden.options().dtype(at::kFloat)),
                  .correct = at::empty({rows}, hidden.options().dtype(at::kBool)),
                  .gradient = {}};
    if (differentiated) loss.gradient = at::empty(hidden.sizes(), hidden.options());
    if (const auto* kernels = detail::kernels_on(hidden.device())) {
        device_head_loss(*kernels, head, hidden, target.contiguous(), differentiated, loss);
        return loss;
    }

    const std::int64_t vocabulary = head.linear.weight().size(0);
    // Chunks of nearly equal size: a small one at the end would cost as much as a whole one.
    const std::int64_t most = chunk_rows(vocabulary);
    const std::int64_t chunks = (rows + most - 1) / most;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const std::int64_t first = rows * chunk / chunks;
        const std::int64_t count = rows * (chunk + 1) / chunks - first;
        const at::Tensor logits = head.linear(hidden.narrow(0, first, count));
        const RowLoss rows_loss = differentiated ? rows_of(*differentiated, first, count) : RowLoss{};
        at::parallel_for(0, count, grain_rows(vocabulary), [&](std::int64_t begin, std::int64_t end) {
            kernels::cpu_kernels().head_rows(
                {.rows = end - begin,
                 .vocabulary = vocabulary,
                 .logits = logits.mutable_data_ptr<float>() + begin * vocabulary,
                 .target = target.const_data_ptr<std::int64_t>() + first + begin,
                 .weight = floats_from(rows_loss.weight, begin),
                 .sharpness = floats_from(rows_loss.sharpness, begin),
                 .soft_cap = static_cast<float>(head.soft_cap),
                 .nll_nats = loss.nll_nats.mutable_data_ptr<float>() + first + begin,
                 .correct = loss.correct.mutable_data_ptr<bool>() + first + begin});
        });
        if (differentiated) loss.gradient.narrow(0, first, count).copy_(head.linear.transposed(logits));
    }
    return loss;
}

}  // namespace memcap::nn
