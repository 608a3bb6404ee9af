// One pass over chunks of rows: logits, loss, arg max and gradient.
#include "memcap/nn/head_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "memcap/base/contracts.hpp"

namespace memcap::nn {

namespace {
/// Logits of a chunk stay within 64 MiB.
constexpr std::int64_t kChunkLogits = std::int64_t{1} << 24;
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

    const std::int64_t chunk = std::max<std::int64_t>(1, kChunkLogits / head.linear.weight().size(0));
    for (std::int64_t first = 0; first < rows; first += chunk) {
        const std::int64_t count = std::min(chunk, rows - first);
        const at::Tensor wanted = target.narrow(0, first, count).unsqueeze(1);
        at::Tensor logits = head.logits(hidden.narrow(0, first, count));
        const auto [largest, best] = logits.max(1, true);
        loss.correct.narrow(0, first, count).copy_(best.eq(wanted).squeeze(1));
        // d(capped logit) / d(logit) = 1 - tanh^2
        const at::Tensor slope = head.soft_cap != 0 && gradient == Gradient::compute
                                     ? logits.div(head.soft_cap).square_().neg_().add_(1.0)
                                     : at::Tensor();
        logits.sub_(largest);
        const at::Tensor wanted_logit = logits.gather(1, wanted);
        logits.exp_();
        const at::Tensor total = logits.sum(1, true);
        loss.nll_nats.narrow(0, first, count).copy_(total.log().sub_(wanted_logit).squeeze(1));
        if (gradient == Gradient::omit) continue;
        const at::Tensor row_weight = weight.narrow(0, first, count).unsqueeze(1);
        logits.mul_(row_weight.div(total));
        logits.scatter_add_(1, wanted, row_weight.neg());
        if (slope.defined()) logits.mul_(slope);
        loss.gradient.narrow(0, first, count).copy_(head.linear.transposed(logits));
    }
    return loss;
}

}  // namespace memcap::nn
