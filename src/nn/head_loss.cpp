// One pass over chunks of rows: logits, loss, arg max and gradient.
#include "memcap/nn/head_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "memcap/base/contracts.hpp"
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

/// Rows that are worth a thread of their own.
std::int64_t grain_rows(std::int64_t vocabulary) {
    constexpr std::int64_t kGrainLogits = 16'384;
    return std::max<std::int64_t>(1, kGrainLogits / vocabulary);
}
}  // namespace

at::Tensor Head::logits(const at::Tensor& hidden) const {
    const at::NoGradGuard no_gradients;
    at::Tensor logits = linear(hidden);
    if (soft_cap != 0) logits.div_(soft_cap).tanh_().mul_(soft_cap);
    return logits;
}

HeadLoss head_loss(const Head& head, const at::Tensor& hidden, const at::Tensor& target,
                   const at::Tensor& weight, Gradient gradient) {
    const std::int64_t rows = hidden.size(0);
    MEMCAP_EXPECT(hidden.dim() == 2 && target.size(0) == rows && weight.size(0) == rows);
    const at::NoGradGuard no_gradients;
    HeadLoss loss{.nll_nats = at::empty({rows}, hidden.options()),
                  .correct = at::empty({rows}, hidden.options().dtype(at::kBool)),
                  .gradient = {}};
    if (gradient == Gradient::compute) loss.gradient = at::empty(hidden.sizes(), hidden.options());

    const std::int64_t vocabulary = head.linear.weight().size(0);
    const std::int64_t chunk = chunk_rows(vocabulary);
    for (std::int64_t first = 0; first < rows; first += chunk) {
        const std::int64_t count = std::min(chunk, rows - first);
        const at::Tensor logits = head.linear(hidden.narrow(0, first, count));
        at::parallel_for(0, count, grain_rows(vocabulary), [&](std::int64_t begin, std::int64_t end) {
            kernels::cpu_kernels().head_rows(
                {.rows = end - begin,
                 .vocabulary = vocabulary,
                 .logits = logits.mutable_data_ptr<float>() + begin * vocabulary,
                 .target = target.const_data_ptr<std::int64_t>() + first + begin,
                 .weight =
                     gradient == Gradient::compute ? weight.const_data_ptr<float>() + first + begin : nullptr,
                 .soft_cap = static_cast<float>(head.soft_cap),
                 .nll_nats = loss.nll_nats.mutable_data_ptr<float>() + first + begin,
                 .correct = loss.correct.mutable_data_ptr<bool>() + first + begin});
        });
        if (gradient == Gradient::compute)
            loss.gradient.narrow(0, first, count).copy_(head.linear.transposed(logits));
    }
    return loss;
}

}  // namespace memcap::nn
