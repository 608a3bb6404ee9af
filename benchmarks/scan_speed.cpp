// The selective scan and its backward beside the plain form, at the shape of Mamba-130M: seconds and their
// ratio.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "memcap/nn/state_space.hpp"
#include "nn/plain_scan.hpp"

namespace {

using memcap::nn::ScanInputs;

constexpr std::int64_t kChannels = 1536;  // state-spaces/mamba-130m-hf: hidden 768, expand 2, state 16
constexpr std::int64_t kStates = 16;
constexpr int kRepeats = 5;

/// Processor time of this process, which hardly changes with what else the machine does.
double processor_s() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

/// The shortest of several times, forward and backward.
double seconds_of(const std::function<at::Tensor()>& forward, const std::vector<at::Tensor>& inputs,
                  const at::Tensor& direction) {
    double shortest_s = 1e9;
    for (int i = 0; i < kRepeats; ++i) {
        const double start_s = processor_s();
        torch::autograd::grad({forward()}, inputs, {direction});
        shortest_s = std::min(shortest_s, processor_s() - start_s);
    }
    return shortest_s;
}

}  // namespace

int main(int count, char** words) {
    const std::int64_t slots = count > 1 ? std::stoll(words[1]) : 1;
    const std::int64_t positions = count > 2 ? std::stoll(words[2]) : 128;
    at::set_num_threads(1);
    at::manual_seed(1);
    const ScanInputs inputs{at::randn({slots, positions, kChannels}).requires_grad_(true),
                            at::rand({slots, positions, kChannels}).mul(0.1).requires_grad_(true),
                            at::randn({slots, positions, 1, kStates}).requires_grad_(true),
                            at::randn({slots, positions, 1, kStates}).requires_grad_(true)};
    const at::Tensor decay = -at::rand({kChannels, kStates}) * 16;
    const at::Tensor skip = at::ones({kChannels});
    const at::Tensor direction = at::randn({slots, positions, kChannels});
    const std::vector<at::Tensor> all{inputs.x, inputs.step, inputs.input, inputs.output};
    const auto segments = memcap::nn::Segments::uniform(slots, positions, at::kCPU);
    const auto rows = [](const at::Tensor& x) { return x.flatten(0, 1); };
    const auto scan = [&] {
        return memcap::nn::selective_scan(
                   {rows(inputs.x), rows(inputs.step), rows(inputs.input), rows(inputs.output)}, segments,
                   decay, skip)
            .view_as(inputs.x);
    };
    const double ours_s = seconds_of(scan, all, direction);
    const double plain_s =
        seconds_of([&] { return memcap::nn::plain_scan(inputs, decay, skip); }, all, direction);
    fmt::print("slots {}, positions {}: scan {:.2f} ms, plain form {:.2f} ms, ratio {:.1f}\n", slots,
               positions, ours_s * 1e3, plain_s * 1e3, plain_s / ours_s);
    return 0;
}
