// What a program that has CUDA brings in for the slots.
#pragma once

namespace memcap::memory {

/// From now on slots on a GPU are judged and updated there. Part of the library memcap_cuda, as
/// nn::use_cuda(). To be called before any operation, by one thread.
void use_cuda();

}  // namespace memcap::memory
