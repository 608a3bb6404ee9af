// The launch of a GPU's update of slots; no ATen, no CUDA.
#pragma once

#include "memory/detail/slot_update.hpp"

struct CUstream_st;

namespace memcap::memory::cuda {

using Stream = CUstream_st*;

/// cudaErrorMemoryAllocation, the one that is a shortage and no defect.
inline constexpr int kOutOfMemory = 2;

/// As detail::update_slots() where all pointers are those of a GPU; returns 0, or the number of a CUDA error.
/// Does not wait for the device.
int update_slots(const detail::SlotUpdate& update, Stream stream);

}  // namespace memcap::memory::cuda
