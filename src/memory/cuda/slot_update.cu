// The update of slots on a GPU: one block a slot judges its evaluation, keeps the best, moves its memory.
#include <cuda_runtime.h>

#include "memory/cuda/slot_update.hpp"
#include "memory/detail/slot_step.hpp"

namespace memcap::memory::cuda {

namespace {

using detail::AdamwFactors;
using detail::CurvePoint;
using detail::SlotPhase;
using detail::SlotProgress;
using detail::SlotRules;
using detail::SlotUpdate;

static_assert(kOutOfMemory == cudaErrorMemoryAllocation);

constexpr int kThreads = 512;

/// Mean nll and right ones of the slot's rows, added up in the same order in each run; known to thread 0.
__device__ CurvePoint evaluation_of(const SlotUpdate& update, const SlotRules& rules) {
    __shared__ double losses[kThreads];
    __shared__ int counts[kThreads];
    double loss = 0.0;
    int correct = 0;
    for (int row = static_cast<int>(threadIdx.x); row < rules.rows; row += kThreads) {
        loss += update.nll_nats[rules.first_row + row];
        correct += update.correct[rules.first_row + row] ? 1 : 0;
    }
    losses[threadIdx.x] = loss;
    counts[threadIdx.x] = correct;
    for (unsigned half = kThreads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            losses[threadIdx.x] += losses[threadIdx.x + half];
            counts[threadIdx.x] += counts[threadIdx.x + half];
        }
    }
    CurvePoint point;
    point.loss_nats = losses[0] / rules.rows;
    point.correct = counts[0];
    return point;
}

__global__ void __launch_bounds__(kThreads) update_kernel(SlotUpdate update) {
    __shared__ bool is_best;
    __shared__ bool goes_on;
    __shared__ AdamwFactors factors;
    const int slot = static_cast<int>(blockIdx.x);
    SlotProgress& progress = update.progress[slot];
    if (progress.phase != SlotPhase::running) return;  // the whole block reads the same
    const SlotRules& rules = update.rules[slot];
    // Every thread has read the phase before the first barrier inside; thread 0 changes it behind the last.
    const CurvePoint now = evaluation_of(update, rules);
    if (threadIdx.x == 0) {
        update.curve[std::int64_t{slot} * update.curve_points + progress.evaluations % update.curve_points] =
            now;
        is_best = detail::judge(rules, now, progress);
        goes_on = progress.phase == SlotPhase::running;
        if (goes_on) factors = detail::adamw_factors(rules, progress.evaluations);
    }
    __syncthreads();
    const std::int64_t offset = slot * update.memory_stride;
    const std::int64_t count = rules.memory_vectors * update.width;
    if (is_best) {
        for (std::int64_t i = threadIdx.x; i < count; i += kThreads)
            update.best_memory[offset + i] = update.evaluated[offset + i];
    }
    // The same thread copies an element and moves it, so nothing has to wait in between.
    if (!goes_on) return;
    const float* gradient = update.gradient + rules.first_input * update.width;
    for (std::int64_t i = threadIdx.x; i < count; i += kThreads) {
        const std::int64_t at = offset + i;
        detail::adamw_move(factors, gradient[i], update.memory[at], update.first_moment[at],
                           update.second_moment[at]);
    }
}

}  // namespace

int update_slots(const SlotUpdate& update, Stream stream) {
    if (update.slots == 0) return cudaSuccess;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(update.slots));
    config.blockDim = dim3(kThreads);
    config.stream = stream;
    const cudaError_t status = cudaLaunchKernelEx(&config, update_kernel, SlotUpdate(update));
    // The caller is told; an error left behind would be taken for one of libtorch's next operation.
    if (status != cudaSuccess) cudaGetLastError();
    return static_cast<int>(status);
}

}  // namespace memcap::memory::cuda
