// Normalisation of rows and its gradient: a row stays in the registers of its threads.
#include "nn/cuda/launch.cuh"

namespace memcap::nn::cuda {

namespace {

/// Runs of elements that a thread holds at most.
constexpr int kRuns = 8;
constexpr int kMostThreads = 512;
constexpr int kRowsOfBlock = 4;

/// How the rows are dealt to threads: one warp a row where it can hold it, one block a row otherwise.
struct Shape {
    dim3 grid;
    dim3 block;
    bool fits = false;
};

Shape shape_of(std::int64_t rows, std::int64_t width, int vector) {
    const std::int64_t runs = ceil_div(width, vector);
    if (runs <= kWarp * kRuns) {
        return {dim3(static_cast<unsigned>(ceil_div(rows, kRowsOfBlock))), dim3(kWarp, kRowsOfBlock), true};
    }
    // Half of what a thread can hold, so that there are enough threads to hide the memory's latency.
    const unsigned threads = threads_for(ceil_div(runs, kRuns / 2), kMostThreads);
    return {dim3(static_cast<unsigned>(rows)), dim3(threads), runs <= std::int64_t{threads} * kRuns};
}

__device__ std::int64_t row_of_thread() {
    return std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
}

/// Calls step(run, first element) for each run of this thread; the number of the run is a constant where the
/// loop is unrolled, so that arrays over it are registers.
template <int kVector, class Step>
__device__ inline void over_runs(std::int64_t width, const Step& step) {
#pragma unroll
    for (int run = 0; run < kRuns; ++run) {
        const std::int64_t i = (std::int64_t{run} * blockDim.x + threadIdx.x) * kVector;
        if (i < width) step(run, i);
    }
}

template <class P, int kVector>
__global__ void __launch_bounds__(kMostThreads) norm_forward_kernel(NormTask task) {
    const std::int64_t row = row_of_thread();
    if (row >= task.rows) return;
    const std::int64_t first = row * task.width;
    const auto width = static_cast<float>(task.width);
    float x[kRuns][kVector];
    float sums[2] = {0.0F, 0.0F};
    over_runs<kVector>(task.width, [&](int run, std::int64_t i) {
        load<P, kVector>(task.x, first + i, x[run]);
        if (task.added.data != nullptr) {
            float added[kVector];
            load<P, kVector>(task.added, first + i, added);
            for (int k = 0; k < kVector; ++k) x[run][k] += added[k];
            store_pack<float, kVector>(task.sum + first + i, x[run]);
        }
        for (int k = 0; k < kVector; ++k) {
            sums[0] += x[run][k];
            sums[1] += x[run][k] * x[run][k];
        }
    });
    sum_over_row(sums);
    float mean = 0.0F;
    float squares[1] = {sums[1]};
    if (task.mean != nullptr) {
        // Summed anew from the mean: the difference of two large numbers would lose digits.
        mean = sums[0] / width;
        squares[0] = 0.0F;
        over_runs<kVector>(task.width, [&](int run, std::int64_t) {
            for (int k = 0; k < kVector; ++k) squares[0] += (x[run][k] - mean) * (x[run][k] - mean);
        });
        sum_over_row(squares);
    }
    const float inverse = 1.0F / sqrtf(squares[0] / width + task.epsilon);
    if (threadIdx.x == 0) {
        if (task.mean != nullptr) task.mean[row] = mean;
        task.inverse[row] = inverse;
    }
    const std::int64_t weight_first = row % task.weight_rows * task.width;
    over_runs<kVector>(task.width, [&](int run, std::int64_t i) {
        float y[kVector];
        for (int k = 0; k < kVector; ++k) y[k] = (x[run][k] - mean) * inverse;
        float scale[kVector];
        if (task.weight != nullptr) {
            load_pack<float, kVector>(task.weight + weight_first + i, scale);
            for (int k = 0; k < kVector; ++k) y[k] *= scale[k];
        }
        if (task.bias != nullptr) {
            load_pack<float, kVector>(task.bias + i, scale);
            for (int k = 0; k < kVector; ++k) y[k] += scale[k];
        }
        store<P, kVector>(task.y, first + i, y);
    });
}

// With n = (x - mean) r and h = weight * gradient: dx = r (h - mean(h) - n mean(h n)); RMSNorm lacks mean(h).
template <class P, int kVector>
__global__ void __launch_bounds__(kMostThreads) norm_backward_kernel(NormGradientTask task) {
    const std::int64_t row = row_of_thread();
    if (row >= task.rows) return;
    const std::int64_t first = row * task.width;
    const std::int64_t weight_first = row % task.weight_rows * task.width;
    const auto width = static_cast<float>(task.width);
    const float mean = task.mean != nullptr ? task.mean[row] : 0.0F;
    const float inverse = task.inverse[row];
    float n[kRuns][kVector];
    float h[kRuns][kVector];
    float sums[2] = {0.0F, 0.0F};
    over_runs<kVector>(task.width, [&](int run, std::int64_t i) {
        load<P, kVector>(task.x, first + i, n[run]);
        load<P, kVector>(task.gradient, first + i, h[run]);
        if (task.weight != nullptr) {
            float weight[kVector];
            load_pack<float, kVector>(task.weight + weight_first + i, weight);
            for (int k = 0; k < kVector; ++k) h[run][k] *= weight[k];
        }
        for (int k = 0; k < kVector; ++k) {
            n[run][k] = (n[run][k] - mean) * inverse;
            sums[0] += h[run][k];
            sums[1] += h[run][k] * n[run][k];
        }
    });
    sum_over_row(sums);
    const float shift = task.mean != nullptr ? sums[0] / width : 0.0F;
    const float projection = sums[1] / width;
    over_runs<kVector>(task.width, [&](int run, std::int64_t i) {
        float gradient[kVector];
        for (int k = 0; k < kVector; ++k)
            gradient[k] = (h[run][k] - shift - n[run][k] * projection) * inverse;
        if (task.gradient_sum != nullptr) {
            float more[kVector];
            load_pack<float, kVector>(task.gradient_sum + first + i, more);
            for (int k = 0; k < kVector; ++k) gradient[k] += more[k];
        }
        store<P, kVector>(task.gradient_x, first + i, gradient);
        if (task.gradient_added.data != nullptr) store<P, kVector>(task.gradient_added, first + i, gradient);
    });
}

constexpr int kVectorElements = 4;

template <class Tensor>
bool in_vectors(const Tensor& tensor) {
    return is_aligned(tensor.data, kVectorElements * size_of(tensor.element));
}

bool floats_in_vectors(const float* data) {
    return is_aligned(data, kVectorElements * sizeof(float));
}

bool in_vectors(const NormTask& task) {
    return task.width % kVectorElements == 0 && in_vectors(task.x) && in_vectors(task.added) &&
           in_vectors(task.y) && floats_in_vectors(task.weight) && floats_in_vectors(task.bias) &&
           floats_in_vectors(task.sum);
}

bool in_vectors(const NormGradientTask& task) {
    return task.width % kVectorElements == 0 && in_vectors(task.x) && in_vectors(task.gradient) &&
           in_vectors(task.gradient_x) && in_vectors(task.gradient_added) && floats_in_vectors(task.weight) &&
           floats_in_vectors(task.gradient_sum);
}

/// Launches one of two forms of a kernel: with runs of kVectorElements or of single elements.
template <class Task>
Status launch_rows(void (*in_runs)(Task), void (*single)(Task), const Task& task, Stream stream) {
    const bool vectors = in_vectors(task);
    const Shape shape = shape_of(task.rows, task.width, vectors ? kVectorElements : 1);
    if (!shape.fits) return cudaErrorInvalidValue;
    return launch(vectors ? in_runs : single, shape.grid, shape.block, stream, task);
}

}  // namespace

Status norm_forward(const NormTask& task, Stream stream) {
    return with_type(narrow_element(task.x, task.added, task.y), [&](auto type) {
        using P = decltype(type);
        return launch_rows(norm_forward_kernel<P, kVectorElements>, norm_forward_kernel<P, 1>, task, stream);
    });
}

Status norm_backward(const NormGradientTask& task, Stream stream) {
    return with_type(narrow_element(task.x, task.gradient, task.gradient_x, task.gradient_added),
                     [&](auto type) {
                         using P = decltype(type);
                         return launch_rows(norm_backward_kernel<P, kVectorElements>,
                                            norm_backward_kernel<P, 1>, task, stream);
                     });
}

}  // namespace memcap::nn::cuda
