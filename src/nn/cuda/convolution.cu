// Depthwise causal convolution and its transpose, which is its gradient.
#include "nn/cuda/launch.cuh"

// A block to one row and a run of its channels: what neighbouring rows read again comes from the caches.
namespace memcap::nn::cuda {

namespace {

constexpr int kMostThreads = 128;
constexpr int kVectorElements = 4;

/// y[t] = bias + sum over `reach` of weight[taps - 1 - reach] * x[t + kDirection * reach], within the slot.
template <int kVector, int kDirection>
__global__ void __launch_bounds__(kMostThreads) convolution_kernel(ConvolutionTask task) {
    const std::int64_t row = blockIdx.x;
    const std::int64_t position = row % task.positions;
    const std::int64_t channel = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kVector;
    if (channel >= task.channels) return;
    float y[kVector] = {};
    if (task.bias != nullptr) load_pack<float, kVector>(task.bias + channel, y);
    for (std::int64_t reach = 0; reach < task.taps; ++reach) {
        const std::int64_t from = position + kDirection * reach;
        if (from < 0 || from >= task.positions) break;
        float x[kVector];
        float weight[kVector];
        load_pack<float, kVector>(task.x + (row + kDirection * reach) * task.channels + channel, x);
        load_pack<float, kVector>(task.weight + (task.taps - 1 - reach) * task.channels + channel, weight);
        for (int k = 0; k < kVector; ++k) y[k] += weight[k] * x[k];
    }
    store_pack<float, kVector>(task.y + row * task.channels + channel, y);
}

bool in_vectors(const ConvolutionTask& task) {
    constexpr std::size_t kBytes = kVectorElements * sizeof(float);
    return task.channels % kVectorElements == 0 && is_aligned(task.x, kBytes) &&
           is_aligned(task.weight, kBytes) && is_aligned(task.bias, kBytes) && is_aligned(task.y, kBytes);
}

template <int kDirection>
Status convolve(const ConvolutionTask& task, Stream stream) {
    const bool vectors = in_vectors(task);
    const std::int64_t runs = ceil_div(task.channels, vectors ? kVectorElements : 1);
    const unsigned threads = threads_for(runs, kMostThreads);
    return launch(
        vectors ? convolution_kernel<kVectorElements, kDirection> : convolution_kernel<1, kDirection>,
        dim3(static_cast<unsigned>(task.slots * task.positions),
             static_cast<unsigned>(ceil_div(runs, threads))),
        dim3(threads), stream, task);
}

}  // namespace

Status convolution_forward(const ConvolutionTask& task, Stream stream) {
    return convolve<-1>(task, stream);
}

Status convolution_backward(const ConvolutionTask& task, Stream stream) {
    return convolve<1>(task, stream);
}

}  // namespace memcap::nn::cuda
