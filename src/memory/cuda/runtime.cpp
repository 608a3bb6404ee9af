// Brings the update of slots on a GPU to the program. Only programs with CUDA link it.
#include "memcap/memory/cuda.hpp"
#include "memory/cuda/slot_update.hpp"
#include "memory/detail/device_update.hpp"

namespace memcap::memory {

void use_cuda() {
    detail::set_device_update(cuda::update_slots);
}

}  // namespace memcap::memory
