// CUDA's language and launch on the host: kernel files compile against it as plain C++, and their blocks run
// thread by thread, so that tests execute them verbatim where there is no GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#include "support/cuda_on_host/block.hpp"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
// A block's threads share one address space, and blocks run one after another.
#define __shared__ static

using std::isfinite;

struct dim3 {
    unsigned x = 1;
    unsigned y = 1;
    unsigned z = 1;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

using cudaStream_t = struct CUstream_st*;
enum cudaError_t : int { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2 };

struct cudaLaunchConfig_t {
    dim3 gridDim;
    dim3 blockDim;
    cudaStream_t stream = nullptr;
};

// Set for the thread that runs at the moment.
inline dim3 gridDim;
inline dim3 blockDim;
inline dim3 blockIdx;
inline dim3 threadIdx;

namespace memcap::test {

/// What the next launch is refused with; cudaSuccess: it is not.
inline cudaError_t refusal = cudaSuccess;
/// As the runtime keeps it: a refusal stays until it is asked for.
inline cudaError_t last_error = cudaSuccess;

}  // namespace memcap::test

inline cudaError_t cudaGetLastError() {
    return std::exchange(memcap::test::last_error, cudaSuccess);
}

inline const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaSuccess ? "no error" : "invalid value";
}

inline void __syncthreads() {
    memcap::test::running_block().wait_for_block();
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
    static_assert(sizeof(T) == 4);
    memcap::test::require(mask == 0xffffffffU, "a shuffle that leaves lanes out");
    auto& block = memcap::test::running_block();
    std::uint32_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    bits = block.exchange(bits, static_cast<unsigned>(lane_mask));
    __builtin_memcpy(&value, &bits, sizeof(bits));
    return value;
}

/// Runs all blocks of a grid, one after another, unless the launch is to be refused.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
    if (memcap::test::refusal != cudaSuccess)
        return memcap::test::last_error = std::exchange(memcap::test::refusal, cudaSuccess);
    gridDim = config->gridDim;
    blockDim = config->blockDim;
    const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    memcap::test::require(threads > 0 && threads <= 1024 && blockDim.z == 1, "a block of impossible size");
    memcap::test::require(gridDim.x > 0 && gridDim.y > 0 && gridDim.y <= 65'535 && gridDim.z == 1,
                          "a grid of impossible size");
    for (unsigned y = 0; y < gridDim.y; ++y) {
        for (unsigned x = 0; x < gridDim.x; ++x) {
            blockIdx = dim3(x, y);
            memcap::test::run_block(
                threads, [&](unsigned thread) { threadIdx = dim3(thread % blockDim.x, thread / blockDim.x); },
                [&] { kernel(arguments...); });
        }
    }
    return cudaSuccess;
}
