// Non-linearities and gates, forth and back; each thread takes neighbouring elements of 16 bytes.
#include "nn/cuda/launch.cuh"

namespace memcap::nn::cuda {

namespace {

struct ValueAndSlope {
    float value;
    float slope;
};

/// x * share and its slope where share is a logistic function of `inner`, whose slope is `inner_slope`.
__device__ inline ValueAndSlope gated_by_logistic(float x, float inner, float inner_slope) {
    const float share = 1.0F / (1.0F + expf(-inner));
    return {x * share, share + x * share * (1.0F - share) * inner_slope};
}

template <Activation kKind>
__device__ inline ValueAndSlope evaluate(float x) {
    if constexpr (kKind == Activation::silu) {
        return gated_by_logistic(x, x, 1.0F);
    } else if constexpr (kKind == Activation::relu) {
        return {x < 0.0F ? 0.0F : x, x > 0.0F ? 1.0F : 0.0F};
    } else if constexpr (kKind == Activation::gelu) {
        constexpr float kInverseRoot2 = 0.70710678F;
        constexpr float kInverseRoot2Pi = 0.39894228F;
        const float share = 0.5F * (1.0F + erff(x * kInverseRoot2));
        return {x * share, share + x * expf(-0.5F * x * x) * kInverseRoot2Pi};
    } else if constexpr (kKind == Activation::softplus) {
        const float small = expf(-fabsf(x));
        const float share = 1.0F / (1.0F + small);
        return {fmaxf(x, 0.0F) + log1pf(small), x < 0.0F ? small * share : share};
    } else {
        constexpr float kRoot2OverPi = 0.79788456F;
        constexpr float kCubic = 0.044715F;
        // (1 + tanh(u)) / 2 is the logistic function of 2 u.
        return gated_by_logistic(x, 2.0F * kRoot2OverPi * (x + kCubic * x * x * x),
                                 2.0F * kRoot2OverPi * (1.0F + 3.0F * kCubic * x * x));
    }
}

constexpr int kMostThreads = 256;

/// A block takes a stretch of one row: blockIdx.x is the row, blockIdx.y the stretch.
template <class P, int kVector, Activation kKind>
__global__ void __launch_bounds__(kMostThreads) forward_kernel(ActivationTask task) {
    const std::int64_t row = blockIdx.x;
    const std::int64_t i = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kVector;
    if (i >= task.width) return;
    const P* x = static_cast<const P*>(task.x) + row * (task.gated ? 2 : 1) * task.width + i;
    float value[kVector];
    load_pack<P, kVector>(x, value);
    float up[kVector];
    if (task.gated) load_pack<P, kVector>(x + task.width, up);
    for (int k = 0; k < kVector; ++k) {
        value[k] = evaluate<kKind>(value[k]).value;
        if (task.gated) value[k] *= up[k];
    }
    store_pack<P, kVector>(static_cast<P*>(task.result) + row * task.width + i, value);
}

template <class P, int kVector, Activation kKind>
__global__ void __launch_bounds__(kMostThreads) backward_kernel(ActivationTask task) {
    const std::int64_t row = blockIdx.x;
    const std::int64_t i = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kVector;
    if (i >= task.width) return;
    const std::int64_t at_input = row * (task.gated ? 2 : 1) * task.width + i;
    const P* x = static_cast<const P*>(task.x) + at_input;
    P* result = static_cast<P*>(task.result) + at_input;
    float at_x[kVector];
    float gradient[kVector];
    load_pack<P, kVector>(x, at_x);
    load_pack<P, kVector>(static_cast<const P*>(task.gradient) + row * task.width + i, gradient);
    float up[kVector];
    if (task.gated) load_pack<P, kVector>(x + task.width, up);
    for (int k = 0; k < kVector; ++k) {
        const ValueAndSlope f = evaluate<kKind>(at_x[k]);
        at_x[k] = gradient[k] * f.slope;
        if (task.gated) {
            at_x[k] *= up[k];
            up[k] = gradient[k] * f.value;
        }
    }
    store_pack<P, kVector>(result, at_x);
    if (task.gated) store_pack<P, kVector>(result + task.width, up);
}

enum class Direction : bool { forward, backward };

template <class P, int kVector, Activation kKind, Direction kDirection>
Status launch_form(const ActivationTask& task, Stream stream) {
    const std::int64_t runs = ceil_div(task.width, kVector);
    const unsigned threads = threads_for(runs, kMostThreads);
    const dim3 grid(static_cast<unsigned>(task.rows), static_cast<unsigned>(ceil_div(runs, threads)));
    return launch(kDirection == Direction::forward ? forward_kernel<P, kVector, kKind>
                                                   : backward_kernel<P, kVector, kKind>,
                  grid, dim3(threads), stream, task);
}

template <class P, Activation kKind, Direction kDirection>
Status launch_kind(const ActivationTask& task, Stream stream) {
    constexpr int kVector = 16 / sizeof(P);
    const bool vectors = task.width % kVector == 0 && is_aligned(task.x, 16) &&
                         is_aligned(task.gradient, 16) && is_aligned(task.result, 16);
    return vectors ? launch_form<P, kVector, kKind, kDirection>(task, stream)
                   : launch_form<P, 1, kKind, kDirection>(task, stream);
}

template <Direction kDirection>
Status launch_any(const ActivationTask& task, Stream stream) {
    return with_type(task.element, [&](auto type) -> Status {
        using P = decltype(type);
        switch (task.kind) {
            case Activation::silu:
                return launch_kind<P, Activation::silu, kDirection>(task, stream);
            case Activation::relu:
                return launch_kind<P, Activation::relu, kDirection>(task, stream);
            case Activation::gelu:
                return launch_kind<P, Activation::gelu, kDirection>(task, stream);
            case Activation::gelu_tanh:
                return launch_kind<P, Activation::gelu_tanh, kDirection>(task, stream);
            case Activation::softplus:
                return launch_kind<P, Activation::softplus, kDirection>(task, stream);
        }
        return cudaErrorInvalidValue;
    });
}

}  // namespace

Status activation_forward(const ActivationTask& task, Stream stream) {
    return launch_any<Direction::forward>(task, stream);
}

Status activation_backward(const ActivationTask& task, Stream stream) {
    return launch_any<Direction::backward>(task, stream);
}

}  // namespace memcap::nn::cuda
