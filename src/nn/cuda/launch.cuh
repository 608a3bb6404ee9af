// What all kernel files share: launches, loads and stores of runs of elements, sums over a block.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "nn/cuda/kernels.hpp"

namespace memcap::nn::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;

static_assert(kOutOfMemory == cudaErrorMemoryAllocation);

/// Launches a kernel unless its grid is empty. The arguments are those of the kernel, by value.
template <class... Parameters, class... Arguments>
Status launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Stream stream, Arguments... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = stream;
    const cudaError_t status = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
    // The caller is told; an error left behind would be taken for one of libtorch's next operation.
    if (status != cudaSuccess) cudaGetLastError();
    return static_cast<Status>(status);
}

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

/// Threads of a block that works on `items`, in whole warps.
inline unsigned threads_for(std::int64_t items, std::int64_t most) {
    const std::int64_t whole = ceil_div(items, kWarp) * kWarp;
    return static_cast<unsigned>(whole < kWarp ? kWarp : (whole < most ? whole : most));
}

inline bool is_aligned(const void* pointer, std::size_t bytes) {
    return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

inline std::size_t size_of(Element element) {
    return element == Element::float32 ? 4 : 2;
}

/// The type besides float32 in which a task has tensors; float32 if there is none.
template <class... Tensors>
Element narrow_element(const Tensors&... tensors) {
    Element found = Element::float32;
    ((found = tensors.data != nullptr && tensors.element != Element::float32 ? tensors.element : found), ...);
    return found;
}

/// Calls call(P{}) with the type that an Element stands for.
template <class Call>
Status with_type(Element element, const Call& call) {
    switch (element) {
        case Element::float32:
            return call(float{});
        case Element::bfloat16:
            return call(__nv_bfloat16{});
        case Element::float16:
            return call(__half{});
    }
    return cudaErrorInvalidValue;
}

__device__ inline float to_float(float value) {
    return value;
}
__device__ inline float to_float(__nv_bfloat16 value) {
    return __bfloat162float(value);
}
__device__ inline float to_float(__half value) {
    return __half2float(value);
}

template <class P>
__device__ inline P from_float(float value) {
    if constexpr (std::is_same_v<P, float>) {
        return value;
    } else if constexpr (std::is_same_v<P, __nv_bfloat16>) {
        return __float2bfloat16(value);
    } else {
        return __float2half(value);
    }
}

/// Neighbouring elements that travel together.
template <class P, int kCount>
struct alignas(sizeof(P) * kCount) Pack {
    P values[kCount];
};

template <class P, int kCount>
__device__ inline void load_pack(const P* from, float (&to)[kCount]) {
    const auto pack = *reinterpret_cast<const Pack<P, kCount>*>(from);
#pragma unroll
    for (int k = 0; k < kCount; ++k) to[k] = to_float(pack.values[k]);
}

template <class P, int kCount>
__device__ inline void store_pack(P* to, const float (&from)[kCount]) {
    Pack<P, kCount> pack;
#pragma unroll
    for (int k = 0; k < kCount; ++k) pack.values[k] = from_float<P>(from[k]);
    *reinterpret_cast<Pack<P, kCount>*>(to) = pack;
}

/// Elements first..first + kCount - 1 of a tensor that is float32 or of type P.
template <class P, int kCount>
__device__ inline void load(const Source& from, std::int64_t first, float (&to)[kCount]) {
    if (std::is_same_v<P, float> || from.element == Element::float32) {
        load_pack<float, kCount>(static_cast<const float*>(from.data) + first, to);
    } else {
        load_pack<P, kCount>(static_cast<const P*>(from.data) + first, to);
    }
}

template <class P, int kCount>
__device__ inline void store(const Target& to, std::int64_t first, const float (&from)[kCount]) {
    if (std::is_same_v<P, float> || to.element == Element::float32) {
        store_pack<float, kCount>(static_cast<float*>(to.data) + first, from);
    } else {
        store_pack<P, kCount>(static_cast<P*>(to.data) + first, from);
    }
}

__device__ inline float sum_over_warp(float value) {
#pragma unroll
    for (int mask = kWarp / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(kAllLanes, value, mask);
    return value;
}

/// Sums over the threads of one threadIdx.y, known to all of them. Blocks of several threadIdx.y have one
/// warp for each; there no thread waits for another warp.
template <int kCount>
__device__ inline void sum_over_row(float (&values)[kCount]) {
    __shared__ float parts[kCount][kWarp];
#pragma unroll
    for (int k = 0; k < kCount; ++k) values[k] = sum_over_warp(values[k]);
    if (blockDim.x == kWarp) return;
    __syncthreads();  // the sums of an earlier call have been read
    if (threadIdx.x % kWarp == 0) {
#pragma unroll
        for (int k = 0; k < kCount; ++k) parts[k][threadIdx.x / kWarp] = values[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kCount; ++k) {
        values[k] = 0.0F;
        for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) values[k] += parts[k][warp];
    }
}

}  // namespace memcap::nn::cuda
