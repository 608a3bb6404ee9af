// What operations know of a GPU: kernels, recorder, current stream; filled in by programs that have CUDA.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "memcap/nn/step_graph.hpp"
#include "nn/cuda/kernels.hpp"

namespace memcap::nn::detail {

struct DeviceRuntime {
    cuda::Kernels kernels;
    std::unique_ptr<StepRecorder> (*make_recorder)(at::Device device) = nullptr;
    std::int64_t (*host_synchronisations)(const std::function<void()>& work) = nullptr;
    std::string (*device_name)(at::Device device) = nullptr;
    std::string (*device_uuid)(at::Device device) = nullptr;
};

/// To be called before any operation, by one thread.
void set_device_runtime(const DeviceRuntime& runtime);
const DeviceRuntime& device_runtime();

/// The kernels for tensors of this device; null for a CPU, unless a test put kernels there. Throws
/// DeviceError for a GPU if this program has no kernels for it.
const cuda::Kernels* kernels_on(at::Device device);

/// The stream that operations on this device are given to; null on a CPU.
cuda::Stream current_stream(at::Device device);

/// Throws unless the launch succeeded: c10::OutOfMemoryError, as libtorch's operations do, where the device
/// had no memory for it, DeviceError otherwise.
void check_launch(cuda::Status status, const char* operation);

/// Calls start(stream) with this device current, as kernels demand, and checks what it returns.
template <class Start>
void launch(at::Device device, const char* operation, const Start& start) {
    const c10::OptionalDeviceGuard guard(device.is_cpu() ? std::nullopt : std::optional(device));
    check_launch(start(current_stream(device)), operation);
}

cuda::Element element_of(at::ScalarType type);
/// The data of a contiguous tensor; none of an undefined one.
cuda::Source source_of(const at::Tensor& tensor);
cuda::Target target_of(const at::Tensor& tensor);

}  // namespace memcap::nn::detail
