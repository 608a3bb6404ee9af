// The tests of kernels on a GPU.
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <fmt/format.h>

#include "gpu/test_device.hpp"
#include "memcap/memory/cuda.hpp"
#include "memcap/nn/cuda.hpp"
#include "memory/detail/device_update.hpp"

namespace memcap::test {

at::Device kernel_device() {
    return {at::kCUDA, 0};
}

std::string missing_device() {
    if (at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0) return {};
    return "no GPU: the driver shows no device";
}

bool is_double() {
    return false;
}

std::int64_t device_bytes() {
    c10::cuda::device_synchronize();
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(0);
    return stats.allocated_bytes[0].current;  // of all pools
}

bool refuse_next_launch(int /*error*/) {
    return false;
}

int left_error() {
    return static_cast<int>(cudaGetLastError());
}

void update_on_device(const memory::detail::SlotUpdate& update) {
    memory::detail::update_slots_on(kernel_device(), update);
    c10::cuda::device_synchronize();
}

}  // namespace memcap::test

int main(int argc, char** argv) {
    ::testing::InitGoogleTest(&argc, argv);
    memcap::nn::use_cuda();
    memcap::memory::use_cuda();
    if (memcap::test::missing_device().empty())
        fmt::print("device: {} ({})\n", memcap::nn::cuda_device_name(memcap::test::kernel_device()),
                   memcap::nn::cuda_device_uuid(memcap::test::kernel_device()));
    return RUN_ALL_TESTS();
}
