// The one place that knows whether the program has CUDA.
#include "nn/detail/device_runtime.hpp"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/nn/cuda.hpp"

namespace memcap::nn {

namespace {

detail::DeviceRuntime the_runtime;

}  // namespace

bool has_cuda() {
    return detail::device_runtime().kernels.norm_forward != nullptr;
}

std::string cuda_device_name(at::Device device) {
    return the_runtime.device_name != nullptr ? the_runtime.device_name(device) : device.str();
}

std::string cuda_device_uuid(at::Device device) {
    MEMCAP_EXPECT(the_runtime.device_uuid != nullptr);
    return the_runtime.device_uuid(device);
}

namespace detail {

void set_device_runtime(const DeviceRuntime& runtime) {
    the_runtime = runtime;
}

const DeviceRuntime& device_runtime() {
    return the_runtime;
}

const cuda::Kernels* kernels_on(at::Device device) {
    const cuda::Kernels& kernels = the_runtime.kernels;
    const bool has_some = kernels.norm_forward != nullptr;
    if (device.is_cpu()) return has_some && kernels.on_host ? &kernels : nullptr;
    if (!has_some) {
        throw DeviceError({.what = fmt::format("there are no kernels for {}", device.str()),
                           .where = {},
                           .why = "this program was linked without CUDA",
                           .advice = "Use memcap-cuda, or set run.device to cpu"});
    }
    return &kernels;
}

cuda::Stream current_stream(at::Device device) {
    if (device.is_cpu()) return nullptr;
    const c10::impl::VirtualGuardImpl guard(device.type());
    return static_cast<cuda::Stream>(guard.getStream(device).native_handle());
}

void check_launch(cuda::Status status, const char* operation) {
    if (status == 0) return;
    TORCH_CHECK_WITH(OutOfMemoryError, status != cuda::kOutOfMemory,
                     "no memory on the device to launch the kernel of ", operation);
    throw DeviceError(
        {.what = fmt::format("the kernel of {} could not be launched", operation),
         .where = {},
         .why = the_runtime.kernels.error_text(status),
         .advice = "Where the driver is sound, run this model on a CPU: its shape may be too large"});
}

cuda::Element element_of(at::ScalarType type) {
    MEMCAP_EXPECT(type == at::kFloat || type == at::kBFloat16 || type == at::kHalf);
    if (type == at::kFloat) return cuda::Element::float32;
    return type == at::kBFloat16 ? cuda::Element::bfloat16 : cuda::Element::float16;
}

cuda::Source source_of(const at::Tensor& tensor) {
    if (!tensor.defined()) return {};
    return {tensor.const_data_ptr(), element_of(tensor.scalar_type())};
}

cuda::Target target_of(const at::Tensor& tensor) {
    if (!tensor.defined()) return {};
    return {tensor.mutable_data_ptr(), element_of(tensor.scalar_type())};
}

}  // namespace detail

}  // namespace memcap::nn
