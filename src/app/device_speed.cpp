// Timed products and copies, and a counter of allocations.
#include "app/device_speed.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>

#include "app/host_memory.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/nn/product.hpp"

namespace memcap::app {

namespace {

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// Counts what this thread and those that inherit its debug information allocate on the CPU.
class AllocationCounter : public c10::MemoryReportingInfoBase {
  public:
    void reportMemoryUsage(void* /*address*/, std::int64_t size_bytes, std::size_t /*allocated*/,
                           std::size_t /*reserved*/, at::Device device) override {
        if (!device.is_cpu()) return;
        const std::int64_t now = held_bytes_ += size_bytes;
        std::int64_t peak = peak_bytes_;
        while (now > peak && !peak_bytes_.compare_exchange_weak(peak, now)) {
        }
    }
    bool memoryProfilingEnabled() const override { return true; }
    std::int64_t peak_bytes() const { return peak_bytes_; }

  private:
    std::atomic<std::int64_t> held_bytes_ = 0;
    std::atomic<std::int64_t> peak_bytes_ = 0;
};

c10::DeviceIndex index_of(at::Device device) {
    return device.has_index() ? device.index() : c10::DeviceIndex{0};
}

}  // namespace

void wait_for(at::Device device) {
    if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(index_of(device));
}

void release_cached_memory(at::Device device) {
    if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->emptyCache();
}

std::int64_t free_memory_bytes(at::Device device) {
    if (!device.is_cpu()) {
        return static_cast<std::int64_t>(
            c10::getDeviceAllocator(device.type())->getMemoryInfo(index_of(device)).first);
    }
    return free_host_bytes();
}

void choose_float32_products(Precision precision) {
    at::globalContext().setAllowTF32CuBLAS(precision == Precision::tf32);
}

plan::ValueWidths value_widths(at::Device device) {
    const auto bytes = [device](Precision precision) {
        return static_cast<std::int64_t>(at::elementSize(nn::product_mode(precision, device).multiplied));
    };
    return {.bfloat16_bytes = bytes(Precision::bfloat16), .float16_bytes = bytes(Precision::float16)};
}

bool multiply_alike(Precision a, Precision b, at::Device device) {
    const bool tf32_differs = !device.is_cpu() && (a == Precision::tf32) != (b == Precision::tf32);
    return !tf32_differs && nn::product_mode(a, device).multiplied == nn::product_mode(b, device).multiplied;
}

MatrixProduct::MatrixProduct(Precision precision, at::Device device) : precision_(precision) {
    const std::int64_t size = device.is_cpu() ? kCpuProductRows : kGpuProductRows;
    const auto options = at::device(device).dtype(nn::product_mode(precision, device).multiplied);
    left_ = at::empty({size, size}, options).normal_();
    right_ = at::empty({size, size}, options).normal_();
    product_ = at::empty({size, size}, options);
    choose_float32_products(precision_);
    // The first product chooses its kernel and touches the memory.
    at::mm_out(product_, left_, right_);
    wait_for(device);
}

double MatrixProduct::run(double seconds) {
    constexpr std::size_t kFewest = 2;
    choose_float32_products(precision_);
    const std::size_t before = elapsed_s_.size();
    const double start_s = monotonic_s();
    while (elapsed_s_.size() < before + kFewest || monotonic_s() - start_s < seconds) {
        const double product_start_s = monotonic_s();
        at::mm_out(product_, left_, right_);
        wait_for(product_.device());
        elapsed_s_.push_back(monotonic_s() - product_start_s);
    }
    const double size = static_cast<double>(left_.size(0));
    return 2.0 * size * size * size /
           *std::min_element(elapsed_s_.begin() + static_cast<std::ptrdiff_t>(before), elapsed_s_.end());
}

plan::MatrixPeak MatrixProduct::peak() const {
    const double size = static_cast<double>(left_.size(0));
    const double flops = 2.0 * size * size * size;
    return {.precision = precision_,
            .size = left_.size(0),
            .products = static_cast<std::int64_t>(elapsed_s_.size()),
            .value_bytes = static_cast<std::int64_t>(left_.element_size()),
            .best_flops_per_s = flops / *std::ranges::min_element(elapsed_s_),
            .median_flops_per_s = flops / median(elapsed_s_)};
}

CopySpeed measure_copy(at::Device device) {
    constexpr std::int64_t kBytes = std::int64_t{512} << 20U;
    constexpr int kCopies = 7;
    const at::Tensor source = at::ones({kBytes / 4}, at::device(device).dtype(at::kFloat));
    at::Tensor target = at::zeros_like(source);
    wait_for(device);
    std::vector<double> elapsed_s;
    for (int i = 0; i < kCopies; ++i) {
        const double start_s = monotonic_s();
        target.copy_(source);
        wait_for(device);
        elapsed_s.push_back(monotonic_s() - start_s);
    }
    constexpr double kMoved = 2.0 * static_cast<double>(kBytes);
    return {.best_bytes_per_s = kMoved / *std::ranges::min_element(elapsed_s),
            .median_bytes_per_s = kMoved / median(elapsed_s)};
}

std::int64_t peak_bytes_of(at::Device device, const std::function<void()>& work) {
    if (device.is_cpu()) {
        const auto counter = std::make_shared<AllocationCounter>();
        const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
        work();
        return counter->peak_bytes();
    }
    constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    c10::DeviceAllocator& allocator = *c10::getDeviceAllocator(device.type());
    const auto stats = [&] { return allocator.getDeviceStats(index_of(device)).allocated_bytes[kAll]; };
    wait_for(device);
    allocator.resetPeakStats(index_of(device));
    const std::int64_t before = stats().current;
    work();
    wait_for(device);
    return stats().peak - before;
}

}  // namespace memcap::app
