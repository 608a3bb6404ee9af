// Speed of a GPU's products and of memcap's kernels on it: matrix peak, bytes per second of each kernel,
// launches.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/cuda/CUDAFunctions.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>

#include "memcap/nn/cuda.hpp"
#include "nn/detail/device_operations.hpp"
#include "nn/detail/device_runtime.hpp"

namespace {

using memcap::nn::Activation;
using memcap::nn::HeadLayout;
namespace operations = memcap::nn::detail;

const at::Device kDevice(at::kCUDA, 0);

double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Seconds of one run: the best of five rounds of some runs each, after two that warm up.
double seconds_of(const std::function<void()>& work) {
    for (int i = 0; i < 2; ++i) work();
    double best = 1e30;
    for (int round = 0; round < 5; ++round) {
        constexpr int kRuns = 20;
        c10::cuda::device_synchronize();
        const double start = now_s();
        for (int i = 0; i < kRuns; ++i) work();
        c10::cuda::device_synchronize();
        best = std::min(best, (now_s() - start) / kRuns);
    }
    return best;
}

at::Tensor randn(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) {
    return at::randn(sizes, at::TensorOptions().dtype(at::kFloat).device(kDevice)).to(type);
}

void report_product(at::ScalarType type, std::int64_t size) {
    const at::Tensor a = randn({size, size}, type);
    const at::Tensor b = randn({size, size}, type);
    at::Tensor c = at::empty_like(a);
    const double seconds = seconds_of([&] { at::mm_out(c, a, b); });
    const auto flop = 2.0 * static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size);
    fmt::print("product {} {}^3: {:.1f} TFLOP/s\n", c10::toString(type), size, flop / seconds / 1e12);
}

/// Time of a kernel, and what it reads and writes over that time.
void report_kernel(const std::string& name, double bytes, const std::function<void()>& work) {
    const double seconds = seconds_of(work);
    fmt::print("{}: {:.1f} us, {:.0f} GB/s\n", name, seconds * 1e6, bytes / seconds / 1e9);
}

void report_copy() {
    const at::Tensor from = randn({256 * 1024 * 1024});
    at::Tensor to = at::empty_like(from);
    report_kernel("copy of 1 GiB", 2.0 * 4 * 256 * 1024 * 1024, [&] { to.copy_(from); });
}

/// The kernels at the shape of a model: rows = slots times positions, width D, vocabulary V.
void report_rows(const memcap::nn::cuda::Kernels& kernels, const char* shape, std::int64_t rows,
                 std::int64_t width, std::int64_t inner, std::int64_t vocabulary) {
    const auto elements = static_cast<double>(rows * width);
    const at::Tensor x = randn({rows, width});
    const at::Tensor added = randn({rows, width}, at::kBFloat16);
    const at::Tensor weight = randn({width});
    report_kernel(fmt::format("{}: sum and norm", shape), elements * (4 + 2 + 4 + 2), [&] {
        operations::device_norm(kernels, x, added, weight, {}, 1e-5, false, at::kBFloat16);
    });
    const auto norm = operations::device_norm(kernels, x, added, weight, {}, 1e-5, false, at::kBFloat16);
    report_kernel(fmt::format("{}: its gradient", shape), elements * (4 + 2 + 4 + 4 + 2), [&] {
        operations::device_norm_gradients(kernels, norm, weight, norm.y, x, at::kBFloat16);
    });
    const at::Tensor gate_up = randn({rows, 2 * inner}, at::kBFloat16);
    const auto gated = static_cast<double>(rows * inner) * 2;
    report_kernel(fmt::format("{}: gate", shape), gated * 3,
                  [&] { operations::device_activation(kernels, gate_up, Activation::silu, true); });
    const at::Tensor y = operations::device_activation(kernels, gate_up, Activation::silu, true);
    report_kernel(fmt::format("{}: its gradient", shape), gated * 5, [&] {
        operations::device_activation_gradient(kernels, gate_up, y, Activation::silu, true);
    });
    const std::int64_t head_rows = std::min<std::int64_t>(rows, 2048);
    const at::Tensor logits = randn({head_rows, vocabulary}, at::kBFloat16);
    const at::Tensor target = at::zeros({head_rows}, at::TensorOptions().dtype(at::kLong).device(kDevice));
    const at::Tensor share = randn({head_rows}).abs();
    const at::Tensor nll = at::empty_like(share);
    const at::Tensor correct = at::empty({head_rows}, nll.options().dtype(at::kBool));
    report_kernel(fmt::format("{}: head rows, vocabulary {}", shape, vocabulary),
                  static_cast<double>(head_rows * vocabulary) * 2 * 3, [&] {
                      operations::device_head_rows(kernels, logits, target, share, {}, 0.0, nll, correct);
                  });
}

void report_heads(const memcap::nn::cuda::Kernels& kernels) {
    const auto layout = HeadLayout::stacked(32, 8, 64);
    const at::Tensor projected = randn({16 * 512, layout.width()}, at::kBFloat16);
    const at::Tensor angle = randn({512, 32});
    report_kernel("heads of llama-3.2-1b, 16 slots of 512", static_cast<double>(projected.numel()) * 4, [&] {
        operations::device_heads(kernels, projected, {16, 512}, layout, angle, angle, at::kBFloat16);
    });
}

void report_scan(const memcap::nn::cuda::Kernels& kernels) {
    constexpr operations::EqualSlots kSlots{.count = 32, .positions = 128};
    constexpr std::int64_t kRows = kSlots.count * kSlots.positions;
    const memcap::nn::ScanInputs inputs{randn({kRows, 1536}), randn({kRows, 1536}).abs(),
                                        randn({kRows, 1, 16}), randn({kRows, 1, 16})};
    const at::Tensor decay = -randn({1536, 16}).exp();
    const at::Tensor skip = randn({1536});
    const double bytes = static_cast<double>(inputs.x.numel()) * 4;
    report_kernel("scan of mamba-130m, 32 slots of 128", bytes * 3,
                  [&] { operations::device_scan(kernels, inputs, kSlots, decay, skip); });
    report_kernel("its gradient", bytes * 5,
                  [&] { operations::device_scan_gradients(kernels, inputs, kSlots, decay, skip, inputs.x); });
    const at::Tensor taps = randn({4, 1536});
    report_kernel("convolution of mamba-130m, 32 slots of 128", bytes * 2,
                  [&] { operations::device_convolution(kernels, inputs.x, kSlots, taps, skip); });
}

}  // namespace

int main() {
    if (!at::hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0) {
        fmt::print("skipped: no GPU: the driver shows no device\n");
        return 77;
    }
    memcap::nn::use_cuda();
    const at::NoGradGuard no_gradients;
    fmt::print("device: {}\n", memcap::nn::cuda_device_name(kDevice));
    const auto& kernels = *operations::kernels_on(kDevice);
    report_product(at::kBFloat16, 8192);
    report_product(at::kFloat, 8192);
    report_copy();
    report_rows(kernels, "pythia-160m, 64 slots of 128", 8192, 768, 3072, 50'304);
    report_rows(kernels, "llama-3.2-1b, 16 slots of 512", 8192, 2048, 8192, 128'256);
    report_heads(kernels);
    report_scan(kernels);
    return 0;
}
