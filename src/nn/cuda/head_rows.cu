// Cross-entropy of rows of logits: a row is read once for loss and arg max, and once more to become its
// gradient.
#include "nn/cuda/launch.cuh"

namespace memcap::nn::cuda {

namespace {

constexpr int kMostThreads = 512;
constexpr int kNone = 0x7fffffff;

/// What some elements of a row say together.
struct Summary {
    float largest;
    float sum;    ///< of exp(element - largest)
    float sharp;  ///< of exp(sharpness * (element - largest)); 0 where no temperature is asked for
    int first;    ///< index of the first of the largest; kNone where nothing exceeds -infinity
    int doubts;   ///< not 0 if an element is NaN
};

__device__ inline Summary empty_summary() {
    return {-INFINITY, 0.0F, 0.0F, kNone, 0};
}

template <bool kSharp>
__device__ inline Summary merged(const Summary& a, const Summary& b, float sharpness) {
    Summary both = a;
    if (b.largest > a.largest) both.largest = b.largest;
    if (b.largest > a.largest || (b.largest == a.largest && b.first < a.first)) both.first = b.first;
    both.doubts = a.doubts | b.doubts;
    // Where all elements are -infinity, their differences have no value.
    both.sum = 0.0F;
    if (a.largest > -INFINITY) both.sum += a.sum * expf(a.largest - both.largest);
    if (b.largest > -INFINITY) both.sum += b.sum * expf(b.largest - both.largest);
    if (kSharp) {
        both.sharp = 0.0F;
        if (a.largest > -INFINITY) both.sharp += a.sharp * expf((a.largest - both.largest) * sharpness);
        if (b.largest > -INFINITY) both.sharp += b.sharp * expf((b.largest - both.largest) * sharpness);
    }
    return both;
}

template <bool kSharp>
__device__ inline Summary merged_over_warp(Summary own, float sharpness) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
        const Summary other{
            __shfl_xor_sync(kAllLanes, own.largest, mask), __shfl_xor_sync(kAllLanes, own.sum, mask),
            kSharp ? __shfl_xor_sync(kAllLanes, own.sharp, mask) : 0.0F,
            __shfl_xor_sync(kAllLanes, own.first, mask), __shfl_xor_sync(kAllLanes, own.doubts, mask)};
        own = merged<kSharp>(own, other, sharpness);
    }
    return own;
}

/// The same result in each thread of the block.
template <bool kSharp>
__device__ inline Summary merged_over_block(const Summary& own, float sharpness) {
    __shared__ Summary parts[kWarp];
    const Summary of_warp = merged_over_warp<kSharp>(own, sharpness);
    if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = of_warp;
    __syncthreads();
    Summary all = parts[0];
    for (unsigned warp = 1; warp < blockDim.x / kWarp; ++warp)
        all = merged<kSharp>(all, parts[warp], sharpness);
    return all;
}

/// cap * tanh(logit / cap), or the logit where there is no cap.
__device__ inline float capped(float logit, float cap) {
    return cap > 0.0F ? cap * tanhf(logit / cap) : logit;
}

/// Takes neighbouring elements into a summary; the indices of a thread only grow.
template <bool kSharp, int kCount>
__device__ inline void take(Summary& own, const float (&values)[kCount], std::int64_t first,
                            float sharpness) {
    float largest = -INFINITY;
    int at = kNone;
    for (int k = 0; k < kCount; ++k) {
        own.doubts |= values[k] != values[k] ? 1 : 0;
        if (values[k] > largest) {
            largest = values[k];
            at = static_cast<int>(first) + k;
        }
    }
    if (largest > own.largest) {
        own.sum *= expf(own.largest - largest);
        if (kSharp) own.sharp *= expf((own.largest - largest) * sharpness);
        own.largest = largest;
        own.first = at;
    }
    if (own.largest == -INFINITY) return;
    for (int k = 0; k < kCount; ++k) {
        own.sum += expf(values[k] - own.largest);
        if (kSharp) own.sharp += expf((values[k] - own.largest) * sharpness);
    }
}

/// Calls step(values, index of the first) for all elements of a row, each thread in ascending order: packs of
/// 16 bytes where they are aligned, single ones before and behind. With kWrite, `values` go back.
template <class P, bool kWrite, class Step>
__device__ inline void over_row(P* row, std::int64_t count, const Step& step) {
    constexpr int kVector = 16 / sizeof(P);
    const auto single = [&](std::int64_t i) {
        float value[1];
        load_pack<P, 1>(row + i, value);
        step(value, i);
        if (kWrite) store_pack<P, 1>(row + i, value);
    };
    const auto beyond = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(row) % 16 / sizeof(P));
    const std::int64_t to_boundary = (kVector - beyond) % kVector;
    const std::int64_t before = to_boundary < count ? to_boundary : count;
    const std::int64_t behind = before + (count - before) / kVector * kVector;
    for (std::int64_t i = threadIdx.x; i < before; i += blockDim.x) single(i);
    for (std::int64_t i = before + std::int64_t{threadIdx.x} * kVector; i < behind;
         i += std::int64_t{blockDim.x} * kVector) {
        float values[kVector];
        load_pack<P, kVector>(row + i, values);
        step(values, i);
        if (kWrite) store_pack<P, kVector>(row + i, values);
    }
    for (std::int64_t i = behind + threadIdx.x; i < count; i += blockDim.x) single(i);
}

/// The row becomes weight * (softmax - 1 at the target), times the slope of the cap; with a temperature, of
/// sharpness times the logits.
template <class P, bool kSharp>
__device__ inline void write_gradient(P* row, const HeadRowsTask& task, const Summary& all,
                                      std::int64_t target, float weight, float sharpness) {
    const float cap = task.soft_cap;
    if (kSharp) weight *= sharpness;
    const float factor = weight / (kSharp ? all.sharp : all.sum);
    over_row<P, true>(row, task.vocabulary, [&](auto& values, std::int64_t first) {
        constexpr int kCount = static_cast<int>(sizeof(values) / sizeof(float));
        for (int k = 0; k < kCount; ++k) {
            const float logit = capped(values[k], cap);
            const float below = logit - all.largest;
            float gradient = expf(kSharp ? below * sharpness : below) * factor;
            if (first + k == target) gradient -= weight;
            if (cap > 0.0F) gradient *= 1.0F - (logit / cap) * (logit / cap);
            values[k] = gradient;
        }
    });
}

/// kSharp: with `sharpness`. A row whose sharpness is 1 has the same bits in both.
template <class P, bool kSharp>
__global__ void __launch_bounds__(kMostThreads) head_rows_kernel(HeadRowsTask task) {
    const std::int64_t index = blockIdx.x;
    P* row = static_cast<P*>(task.logits.data) + index * task.vocabulary;
    const std::int64_t target = task.target[index];
    // Read before the threads meet below: afterwards the row is overwritten.
    const float wanted = capped(to_float(row[target]), task.soft_cap);
    const float sharpness = kSharp ? task.sharpness[index] : 1.0F;
    Summary own = empty_summary();
    over_row<P, false>(row, task.vocabulary, [&](auto& values, std::int64_t first) {
        if (task.soft_cap > 0.0F) {
            for (float& value : values) value = capped(value, task.soft_cap);
        }
        take<kSharp>(own, values, first, sharpness);
    });
    const Summary all = merged_over_block<kSharp>(own, sharpness);
    if (threadIdx.x == 0) {
        const bool sound = all.doubts == 0;
        // Among elements that are all -infinity the first is the first of the largest.
        task.correct[index] = sound && (all.first == kNone ? 0 : all.first) == target;
        task.nll_nats[index] = sound ? logf(all.sum) - (wanted - all.largest) : NAN;
    }
    if (task.weight != nullptr)
        write_gradient<P, kSharp>(row, task, all, target, task.weight[index], sharpness);
}

}  // namespace

Status head_rows(const HeadRowsTask& task, Stream stream) {
    if (task.vocabulary >= kNone) return cudaErrorInvalidValue;
    return with_type(task.logits.element, [&](auto type) {
        using P = decltype(type);
        const unsigned threads = threads_for(ceil_div(task.vocabulary, 16 / sizeof(P)), kMostThreads);
        const auto kernel =
            task.sharpness == nullptr ? head_rows_kernel<P, false> : head_rows_kernel<P, true>;
        return launch(kernel, dim3(static_cast<unsigned>(task.rows)), dim3(threads), stream, task);
    });
}

}  // namespace memcap::nn::cuda
