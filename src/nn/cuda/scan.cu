// Selective scan, forth and back: states in registers, a thread for each run of states of each channel.
#include "nn/cuda/launch.cuh"

// A channel belongs to kLanes neighbouring threads (one for Mamba, eight for Mamba-2's 128 states), a block
// to one slot and to channels of one group. Blocks read "input" and "output" by chunks into shared memory.
namespace memcap::nn::cuda {

namespace {

/// States of a thread.
constexpr int kStates = 16;
constexpr int kThreads = 64;
constexpr int kWarps = kThreads / kWarp;

/// Positions of a chunk: of the backward, whose states a block keeps in shared memory, and of the forward.
template <int kLanes>
constexpr int kBackwardChunk = kLanes <= 8 ? 8 : 4;
template <int kLanes>
constexpr int kForwardChunk = 32 / kLanes;

std::int64_t lanes_of(std::int64_t states) {
    std::int64_t lanes = 1;
    while (lanes * kStates < states) lanes *= 2;
    return lanes;
}

/// Blocks that share the channels of a group.
std::int64_t runs_of_group(const ScanTask& task) {
    return ceil_div(task.channels / task.groups, kThreads / lanes_of(task.states));
}

/// The work of one thread.
struct Share {
    std::int64_t slot;
    std::int64_t group;
    std::int64_t run;      ///< of the group's blocks
    std::int64_t channel;  ///< the last one of the group where there is none for this thread
    bool exists;           ///< whether there is a channel for this thread
    int first_state;
};

template <int kLanes>
__device__ inline Share share_of_thread(const ScanTask& task) {
    const std::int64_t group_channels = task.channels / task.groups;
    const std::int64_t runs = gridDim.x / task.groups;
    Share share{};
    share.slot = blockIdx.y;
    share.group = blockIdx.x / runs;
    share.run = blockIdx.x % runs;
    const std::int64_t own = share.run * (kThreads / kLanes) + threadIdx.x / kLanes;
    share.exists = own < group_channels;
    share.channel = share.group * group_channels + (share.exists ? own : group_channels - 1);
    share.first_state = static_cast<int>(threadIdx.x) % kLanes * kStates;
    return share;
}

/// "input" and "output" of some positions, zero behind the last state.
template <int kLanes, int kPositions>
struct Staged {
    float input[kPositions][kLanes * kStates];
    float output[kPositions][kLanes * kStates];
};

/// To be called by all threads of a block; what stood there before has been used when it returns.
template <int kLanes, int kPositions>
__device__ inline void stage(const ScanTask& task, const Share& share, std::int64_t first, int count,
                             Staged<kLanes, kPositions>& staged) {
    constexpr int kAll = kLanes * kStates;
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < count * kAll; i += kThreads) {
        const int state = i % kAll;
        const std::int64_t position = share.slot * task.positions + first + i / kAll;
        const std::int64_t at = (position * task.groups + share.group) * task.states + state;
        const bool exists = state < task.states;
        staged.input[i / kAll][state] = exists ? task.input[at] : 0.0F;
        staged.output[i / kAll][state] = exists ? task.output[at] : 0.0F;
    }
    __syncthreads();
}

/// decay of this thread's states; 0 behind the last one, whose states stay 0 then.
template <bool kOneDecay>
__device__ inline void load_decay(const ScanTask& task, const Share& share, float (&decay)[kStates]) {
    for (int s = 0; s < kStates; ++s) {
        const int state = share.first_state + s;
        if (kOneDecay) {
            decay[s] = task.decay[share.channel];
        } else {
            decay[s] = state < task.states ? task.decay[share.channel * task.states + state] : 0.0F;
        }
    }
}

/// exp(step * decay) of each state.
template <bool kOneDecay>
__device__ inline void load_factors(const float (&decay)[kStates], float step, float (&factor)[kStates]) {
    const float common = kOneDecay ? expf(step * decay[0]) : 0.0F;
    for (int s = 0; s < kStates; ++s) factor[s] = kOneDecay ? common : expf(step * decay[s]);
}

/// h = factor h + step x input
template <bool kOneDecay>
__device__ inline void advance(const float (&decay)[kStates], float step, float x, const float* input,
                               float (&h)[kStates]) {
    float factor[kStates];
    load_factors<kOneDecay>(decay, step, factor);
    const float driven = step * x;
    for (int s = 0; s < kStates; ++s) h[s] = factor[s] * h[s] + driven * input[s];
}

/// Sum over the threads of one channel.
template <int kLanes>
__device__ inline float sum_over_states(float value) {
#pragma unroll
    for (int mask = kLanes / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(kAllLanes, value, mask);
    return value;
}

template <int kLanes, bool kOneDecay>
__global__ void __launch_bounds__(kThreads) forward_kernel(ScanTask task, float* y) {
    constexpr int kChunk = kForwardChunk<kLanes>;
    __shared__ Staged<kLanes, kChunk> staged;
    const Share share = share_of_thread<kLanes>(task);
    float decay[kStates];
    load_decay<kOneDecay>(task, share, decay);
    const float skip = task.skip[share.channel];
    float h[kStates] = {};
    for (std::int64_t first = 0; first < task.positions; first += kChunk) {
        const auto left = task.positions - first;
        const int count = left < kChunk ? static_cast<int>(left) : kChunk;
        stage(task, share, first, count, staged);
        for (int i = 0; i < count; ++i) {
            const std::int64_t at = (share.slot * task.positions + first + i) * task.channels + share.channel;
            const float x = task.x[at];
            advance<kOneDecay>(decay, task.step[at], x, &staged.input[i][share.first_state], h);
            float sum = 0.0F;
            for (int s = 0; s < kStates; ++s) sum += h[s] * staged.output[i][share.first_state + s];
            sum = sum_over_states<kLanes>(sum);
            if (share.exists && share.first_state == 0) y[at] = sum + skip * x;
        }
    }
}

/// From 32 values in each of a warp's lanes to their sums over the lanes of equal number modulo kLanes: in
/// values[k] then stands the sum of the value of number lane / kLanes * kLanes + k, for k < kLanes.
template <int kLanes, int kCount, int kMask>
__device__ inline void fold(float (&values)[kWarp]) {
    if constexpr (kMask >= kLanes) {
        const bool upper = (threadIdx.x & kMask) != 0;
#pragma unroll
        for (int k = 0; k < kCount / 2; ++k) {
            const float kept = upper ? values[k + kCount / 2] : values[k];
            const float given = upper ? values[k] : values[k + kCount / 2];
            values[k] = kept + __shfl_xor_sync(kAllLanes, given, kMask);
        }
        fold<kLanes, kCount / 2, kMask / 2>(values);
    }
}

/// Adds the sums over this warp's channels to the parts; sums[0..15] are those of input, the rest of output.
template <int kLanes>
__device__ inline void store_parts(const ScanTask& task, const ScanGradients& gradients, const Share& share,
                                   std::int64_t position, float (&sums)[kWarp]) {
    fold<kLanes, kWarp, kWarp / 2>(sums);
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const std::int64_t parts = gridDim.x / task.groups * kWarps;
    const std::int64_t part = share.run * kWarps + threadIdx.x / kWarp;
    const std::int64_t row =
        ((share.slot * task.groups + share.group) * parts + part) * task.positions + position;
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
        const int number = lane / kLanes * kLanes + k;
        const int state = share.first_state + number % kStates;
        float* to = number < kStates ? gradients.input_parts : gradients.output_parts;
        if (state < task.states) to[row * task.states + state] = sums[k];
    }
}

/// Where the state of this thread before a chunk is kept, one float behind every `stride`.
struct Boundary {
    float* first;
    std::int64_t stride;
};

__device__ inline Boundary boundary_of(const ScanTask& task, const ScanGradients& gradients,
                                       const Share& share, std::int64_t chunk, int chunk_positions) {
    const std::int64_t chunks = (task.positions + chunk_positions - 1) / chunk_positions;
    const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
    return {gradients.boundaries + (share.slot * chunks + chunk) * kStates * stride +
                std::int64_t{blockIdx.x} * kThreads + threadIdx.x,
            stride};
}

/// Runs through all positions and keeps the state before each chunk.
template <int kLanes, bool kOneDecay, int kChunk>
__device__ inline void find_boundaries(const ScanTask& task, const ScanGradients& gradients,
                                       const Share& share, const float (&decay)[kStates],
                                       Staged<kLanes, kChunk>& staged) {
    float h[kStates] = {};
    for (std::int64_t first = 0; first < task.positions; first += kChunk) {
        const Boundary boundary = boundary_of(task, gradients, share, first / kChunk, kChunk);
        for (int s = 0; s < kStates; ++s) boundary.first[s * boundary.stride] = h[s];
        const auto left = task.positions - first;
        const int count = left < kChunk ? static_cast<int>(left) : kChunk;
        stage(task, share, first, count, staged);
        for (int i = 0; i < count; ++i) {
            const std::int64_t at = (share.slot * task.positions + first + i) * task.channels + share.channel;
            advance<kOneDecay>(decay, task.step[at], task.x[at], &staged.input[i][share.first_state], h);
        }
    }
}

template <int kLanes, bool kOneDecay>
__global__ void __launch_bounds__(kThreads) backward_kernel(ScanTask task, ScanGradients gradients) {
    constexpr int kChunk = kBackwardChunk<kLanes>;
    __shared__ Staged<kLanes, kChunk> staged;
    __shared__ float befores[kChunk][kStates][kThreads];  // the state before each position of a chunk
    const Share share = share_of_thread<kLanes>(task);
    float decay[kStates];
    load_decay<kOneDecay>(task, share, decay);
    find_boundaries<kLanes, kOneDecay, kChunk>(task, gradients, share, decay, staged);
    const float skip = task.skip[share.channel];
    float adjoint[kStates] = {};  // gradient of the state behind the positions still to come
    for (std::int64_t chunk = (task.positions - 1) / kChunk; chunk >= 0; --chunk) {
        const std::int64_t first = chunk * kChunk;
        const auto left = task.positions - first;
        const int count = left < kChunk ? static_cast<int>(left) : kChunk;
        stage(task, share, first, count, staged);
        const Boundary boundary = boundary_of(task, gradients, share, chunk, kChunk);
        float h[kStates];
        for (int s = 0; s < kStates; ++s) h[s] = boundary.first[s * boundary.stride];
        for (int i = 0; i < count; ++i) {
            const std::int64_t at = (share.slot * task.positions + first + i) * task.channels + share.channel;
            for (int s = 0; s < kStates; ++s) befores[i][s][threadIdx.x] = h[s];
            advance<kOneDecay>(decay, task.step[at], task.x[at], &staged.input[i][share.first_state], h);
        }
        for (int i = count - 1; i >= 0; --i) {
            const std::int64_t at = (share.slot * task.positions + first + i) * task.channels + share.channel;
            const float x = task.x[at];
            const float step = task.step[at];
            // What does not exist must not count in the sums over channels.
            const float gradient = share.exists ? gradients.y[at] : 0.0F;
            float factor[kStates];
            load_factors<kOneDecay>(decay, step, factor);
            float sums[kWarp];
            float through_input = 0.0F;
            float through_decay = 0.0F;
            for (int s = 0; s < kStates; ++s) {
                const float before = befores[i][s][threadIdx.x];
                const float at_state = adjoint[s] + gradient * staged.output[i][share.first_state + s];
                sums[s] = at_state * step * x;
                sums[kStates + s] = gradient * h[s];
                through_input += at_state * staged.input[i][share.first_state + s];
                adjoint[s] = at_state * factor[s];
                through_decay += adjoint[s] * before * decay[s];
                h[s] = before;
            }
            through_input = sum_over_states<kLanes>(through_input);
            through_decay = sum_over_states<kLanes>(through_decay);
            if (share.exists && share.first_state == 0) {
                gradients.x[at] = through_input * step + skip * gradient;
                gradients.step[at] = through_input * x + through_decay;
            }
            store_parts<kLanes>(task, gradients, share, first + i, sums);
        }
    }
}

dim3 grid_of(const ScanTask& task) {
    return dim3(static_cast<unsigned>(task.groups * runs_of_group(task)), static_cast<unsigned>(task.slots));
}

/// Calls call.operator()<kLanes>() with the threads of a channel.
template <class Call>
Status with_lanes(const ScanTask& task, const Call& call) {
    switch (lanes_of(task.states)) {
        case 1:
            return call.template operator()<1>();
        case 2:
            return call.template operator()<2>();
        case 4:
            return call.template operator()<4>();
        case 8:
            return call.template operator()<8>();
        case 16:
            return call.template operator()<16>();
        default:
            return cudaErrorInvalidValue;
    }
}

}  // namespace

ScanSizes scan_sizes(const ScanTask& task) {
    const std::int64_t chunk = lanes_of(task.states) <= 8 ? kBackwardChunk<1> : kBackwardChunk<16>;
    const dim3 grid = grid_of(task);
    return {.boundary_floats =
                std::int64_t{grid.x} * kThreads * kStates * task.slots * ceil_div(task.positions, chunk),
            .parts = runs_of_group(task) * kWarps};
}

Status scan_forward(const ScanTask& task, float* y, Stream stream) {
    return with_lanes(task, [&]<int kLanes>() {
        return launch(task.one_decay ? forward_kernel<kLanes, true> : forward_kernel<kLanes, false>,
                      grid_of(task), dim3(kThreads), stream, task, y);
    });
}

Status scan_backward(const ScanTask& task, const ScanGradients& gradients, Stream stream) {
    return with_lanes(task, [&]<int kLanes>() {
        return launch(task.one_decay ? backward_kernel<kLanes, true> : backward_kernel<kLanes, false>,
                      grid_of(task), dim3(kThreads), stream, task, gradients);
    });
}

}  // namespace memcap::nn::cuda
