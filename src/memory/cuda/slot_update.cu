// The update of slots on a GPU: one block a slot judges its evaluation, keeps the best, moves its memory.
#include <cuda_runtime.h>

#include "memory/cuda/slot_update.hpp"

namespace memcap::memory::cuda {

namespace {

using detail::CurvePoint;
using detail::RateShape;
using detail::SlotPhase;
using detail::SlotProgress;
using detail::SlotRules;
using detail::SlotUpdate;

constexpr int kThreads = 512;
constexpr double kPi = 3.14159265358979323846;

/// The same as learning_rate_at(), from rules.
__device__ double rate_of(const SlotRules& rules, int step) {
    if (step <= rules.warmup_steps) return rules.learning_rate * step / rules.warmup_steps;
    if (rules.shape == RateShape::constant) return rules.learning_rate;
    const double progress = static_cast<double>(step - rules.warmup_steps) /
                            static_cast<double>(rules.max_steps - rules.warmup_steps);
    if (rules.shape == RateShape::linear) return rules.learning_rate * (1.0 - progress);
    return rules.learning_rate * (1.0 + cos(kPi * progress)) / 2.0;
}

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

/// Takes an evaluation into a slot's progress; true if its vectors are the best so far.
__device__ bool judge(const SlotRules& rules, const CurvePoint& now, SlotProgress& progress) {
    const int evaluation = ++progress.evaluations;
    if (!isfinite(now.loss_nats)) {
        progress.phase = SlotPhase::not_finite;
        return false;
    }
    if (evaluation == 1 || now.loss_nats < progress.loss_min_nats) progress.loss_min_nats = now.loss_nats;
    const bool is_best = now.correct > progress.best_correct;
    if (is_best) {
        progress.best_correct = now.correct;
        progress.best_evaluation = evaluation;
        progress.best_loss_nats = now.loss_nats;
    }
    if (now.correct >= rules.solving_rows) {
        progress.phase = SlotPhase::solved;
    } else if (evaluation - progress.best_evaluation >= rules.patience) {
        progress.phase = SlotPhase::out_of_patience;
    } else if (evaluation >= rules.max_steps) {
        progress.phase = SlotPhase::out_of_steps;
    }
    return is_best;
}

/// The factors of one update, computed in double and used in float.
struct Factors {
    float keep;
    float first_share;
    float second_keep;
    float second_share;
    float root_correction;
    float epsilon;
    float size;
};

__device__ Factors factors_of(const SlotRules& rules, int step) {
    const double rate = rate_of(rules, step);
    return {static_cast<float>(1.0 - rate * rules.weight_decay),
            static_cast<float>(1.0 - rules.beta1),
            static_cast<float>(rules.beta2),
            static_cast<float>(1.0 - rules.beta2),
            static_cast<float>(sqrt(1.0 - pow(rules.beta2, static_cast<double>(step)))),
            static_cast<float>(rules.epsilon),
            static_cast<float>(rate / (1.0 - pow(rules.beta1, static_cast<double>(step))))};
}

__device__ void adamw(const Factors& with, std::int64_t count, const float* gradient, float* memory,
                      float* first_moment, float* second_moment) {
    for (std::int64_t i = threadIdx.x; i < count; i += kThreads) {
        const float g = gradient[i];
        const float first = first_moment[i] + (g - first_moment[i]) * with.first_share;
        const float second = second_moment[i] * with.second_keep + g * g * with.second_share;
        const float denominator = sqrtf(second) / with.root_correction + with.epsilon;
        first_moment[i] = first;
        second_moment[i] = second;
        memory[i] = memory[i] * with.keep - with.size * (first / denominator);
    }
}

__global__ void __launch_bounds__(kThreads) update_kernel(SlotUpdate update) {
    __shared__ bool is_best;
    __shared__ bool goes_on;
    __shared__ Factors factors;
    const int slot = static_cast<int>(blockIdx.x);
    SlotProgress& progress = update.progress[slot];
    if (progress.phase != SlotPhase::running) return;  // the whole block reads the same
    const SlotRules& rules = update.rules[slot];
    // Every thread has read the phase before the first barrier inside; thread 0 changes it behind the last.
    const CurvePoint now = evaluation_of(update, rules);
    if (threadIdx.x == 0) {
        update.curve[std::int64_t{slot} * update.curve_points + progress.evaluations % update.curve_points] =
            now;
        is_best = judge(rules, now, progress);
        goes_on = progress.phase == SlotPhase::running;
        if (goes_on) factors = factors_of(rules, progress.evaluations);
    }
    __syncthreads();
    const std::int64_t offset = slot * update.memory_stride;
    const std::int64_t count = rules.memory_vectors * update.width;
    if (is_best) {
        for (std::int64_t i = threadIdx.x; i < count; i += kThreads)
            update.best_memory[offset + i] = update.memory[offset + i];
    }
    // The same thread copies an element and moves it, so nothing has to wait in between.
    if (goes_on) {
        adamw(factors, count, update.gradient + rules.first_input * update.width, update.memory + offset,
              update.first_moment + offset, update.second_moment + offset);
    }
}

}  // namespace

int update_slots(const SlotUpdate& update, Stream stream) {
    if (update.slots == 0) return cudaSuccess;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(update.slots));
    config.blockDim = dim3(kThreads);
    config.stream = stream;
    return static_cast<int>(cudaLaunchKernelEx(&config, update_kernel, SlotUpdate(update)));
}

}  // namespace memcap::memory::cuda
