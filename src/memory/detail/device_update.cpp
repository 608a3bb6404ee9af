// The choice between the CPU's form and the launch that a program with CUDA brought in.
#include "memory/detail/device_update.hpp"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include "memcap/base/errors.hpp"
#include "memory/cuda/slot_update.hpp"

namespace memcap::memory::detail {

namespace {

DeviceUpdate the_update = nullptr;

}  // namespace

void set_device_update(DeviceUpdate launch) {
    the_update = launch;
}

void update_slots_on(at::Device device, const SlotUpdate& update) {
    if (device.is_cpu()) {
        update_slots(update);
        return;
    }
    if (the_update == nullptr) {
        throw DeviceError({.what = fmt::format("slots on {} cannot be updated", device.str()),
                           .where = {},
                           .why = "this program was linked without CUDA",
                           .advice = "Use memcap-cuda, or set run.device to cpu"});
    }
    const c10::DeviceGuard on_device(device);
    const c10::impl::VirtualGuardImpl streams(device.type());
    auto* stream = static_cast<CUstream_st*>(streams.getStream(device).native_handle());
    if (const int status = the_update(update, stream); status != 0) {
        TORCH_CHECK_WITH(OutOfMemoryError, status != cuda::kOutOfMemory,
                         "no memory on the device to launch the update of slots");
        throw DeviceError({.what = "the update of slots could not be launched",
                           .where = device.str(),
                           .why = fmt::format("CUDA error {}", status),
                           .advice = {}});
    }
}

}  // namespace memcap::memory::detail
