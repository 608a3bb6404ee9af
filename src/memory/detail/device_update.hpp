// The update of slots on the device that they are on.
#pragma once

#include <ATen/core/Tensor.h>

#include "memory/detail/slot_update.hpp"

struct CUstream_st;

namespace memcap::memory::detail {

/// update_slots() where the pointers are those of `device`; on a GPU the update is given to the current
/// stream and not waited for. Throws c10::OutOfMemoryError if the device had no memory to launch it,
/// DeviceError if it could not be launched otherwise, or if this program has no kernel for the device.
void update_slots_on(at::Device device, const SlotUpdate& update);

/// The launch for a GPU; returns 0, or the number of an error. To be called before any update, by one thread.
using DeviceUpdate = int (*)(const SlotUpdate& update, CUstream_st* stream);
void set_device_update(DeviceUpdate launch);

}  // namespace memcap::memory::detail
