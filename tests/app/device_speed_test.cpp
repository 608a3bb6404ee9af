// The yardsticks of memcap bench: counted memory and timed products.
#include "app/device_speed.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "memcap/base/clock.hpp"
#include "memcap/models/registry.hpp"
#include "support/golden_case.hpp"

namespace memcap::app {
namespace {

TEST(PeakBytes, CountsWhatIsHeldAtATime) {
    const at::Tensor before = at::zeros({1000});
    at::Tensor kept;
    const auto work = [&] {
        kept = at::zeros({250});
        // Twice 4000 bytes beside the 1000 that stay, but not at the same time.
        for (int i = 0; i < 2; ++i) at::zeros({1000});
        at::zeros({10});
    };
    EXPECT_EQ(peak_bytes_of(at::kCPU, work), 5000);
    EXPECT_EQ(peak_bytes_of(at::kCPU, [] {}), 0);
}

TEST(MatrixProduct, SaysWhatItsTimesSay) {
    at::set_num_threads(1);
    MatrixProduct product(Precision::float32, at::kCPU);
    const double start_s = monotonic_s();
    const double best = product.run(0.0);
    const double elapsed_s = monotonic_s() - start_s;
    const plan::MatrixPeak peak = product.peak();
    EXPECT_EQ(peak.size, 2048);
    EXPECT_EQ(peak.products, 2);
    EXPECT_EQ(peak.value_bytes, 4);
    EXPECT_EQ(peak.best_flops_per_s, best);
    EXPECT_LE(peak.median_flops_per_s, best);
    // Two products in that time: the mean is between the slower and the faster one.
    const double mean = 2.0 * 2.0 * 2048.0 * 2048.0 * 2048.0 / elapsed_s;
    EXPECT_LE(mean, best);
    EXPECT_GE(mean, 0.5 * peak.median_flops_per_s);
}

TEST(ValueWidths, AreThoseOfTheTypesThatADeviceMultiplies) {
    const plan::ValueWidths gpu = value_widths(at::kCUDA);
    EXPECT_EQ(gpu.bfloat16_bytes, 2);
    EXPECT_EQ(gpu.float16_bytes, 2);
    const plan::ValueWidths cpu = value_widths(at::kCPU);
    EXPECT_EQ(cpu.float16_bytes, 4);
    EXPECT_EQ(cpu.bfloat16_bytes, __builtin_cpu_supports("avx512bf16") ? 2 : 4);
    // What a model of that precision takes, and what its products are measured in.
    for (const Precision precision : {Precision::float32, Precision::bfloat16, Precision::float16}) {
        const auto folder = test::source_folder() / "tests/golden/llama-plain/model";
        const auto model = models::load(folder, precision, at::kCPU);
        EXPECT_EQ(model->head().linear.weight().element_size(), cpu.bytes(precision));
    }
}

TEST(MatrixProduct, IsSharedByPrecisionsThatMultiplyAlike) {
    EXPECT_TRUE(multiply_alike(Precision::float32, Precision::tf32, at::kCPU));
    EXPECT_FALSE(multiply_alike(Precision::float32, Precision::tf32, at::kCUDA));
    EXPECT_FALSE(multiply_alike(Precision::float32, Precision::bfloat16, at::kCUDA));
}

}  // namespace
}  // namespace memcap::app
