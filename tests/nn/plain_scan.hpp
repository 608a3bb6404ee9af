// The selective scan as its definition reads: the oracle of the test and the yardstick of the benchmark.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "memcap/nn/state_space.hpp"

namespace memcap::nn {

/// The recurrence, position by position, in the precision of its inputs.
inline at::Tensor plain_scan(const ScanInputs& in, const at::Tensor& decay, const at::Tensor& skip) {
    const std::int64_t share = in.x.size(2) / in.input.size(2);
    at::Tensor h_BCS = at::zeros({in.x.size(0), in.x.size(2), in.input.size(3)}, in.x.options());
    std::vector<at::Tensor> outputs;
    for (std::int64_t t = 0; t < in.x.size(1); ++t) {
        const at::Tensor step_BC1 = in.step.select(1, t).unsqueeze(-1);
        const auto of_channels = [&](const at::Tensor& groups) {
            return groups.select(1, t).repeat_interleave(share, 1);
        };
        h_BCS = at::exp(step_BC1 * decay) * h_BCS +
                step_BC1 * in.x.select(1, t).unsqueeze(-1) * of_channels(in.input);
        outputs.push_back((h_BCS * of_channels(in.output)).sum(-1) + skip * in.x.select(1, t));
    }
    return at::stack(outputs, 1);
}

}  // namespace memcap::nn
