// One loop for value and slope of each non-linearity.
#include "nn/kernels/activation.hpp"

#include "nn/kernels/isa.hpp"

#include "nn/kernels/vector.hpp"

namespace memcap::nn::kernels::MEMCAP_ISA {

namespace {

struct ValueAndSlope {
    Floats value;
    Floats slope;
};

MEMCAP_INLINE ValueAndSlope silu(const Floats& x) {
    const Floats share = 1.0F / (1.0F + exponential(-x));
    const Floats value = x * share;
    return {value, share + value * (1.0F - share)};
}

/// erf(x) to 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), formula 7.1.26. With
/// `gauss` = exp(-x^2), which the slope of GELU needs as well.
MEMCAP_INLINE Floats error_function(const Floats& x, const Floats& gauss) {
    const Floats size = x < 0.0F ? -x : x;
    const Floats t = 1.0F / (1.0F + 0.3275911F * size);
    Floats series = 1.061405429F * t - 1.453152027F;
    series = series * t + 1.421413741F;
    series = series * t - 0.284496736F;
    series = series * t + 0.254829592F;
    const Floats value = 1.0F - series * t * gauss;
    return x < 0.0F ? -value : value;
}

MEMCAP_INLINE ValueAndSlope gelu(const Floats& x) {
    constexpr float kInverseRoot2 = 0.70710678F;
    constexpr float kInverseRoot2Pi = 0.39894228F;
    const Floats gauss = exponential(-0.5F * x * x);
    const Floats share = 0.5F * (1.0F + error_function(x * kInverseRoot2, gauss));
    return {x * share, share + x * gauss * kInverseRoot2Pi};
}

MEMCAP_INLINE ValueAndSlope gelu_tanh(const Floats& x) {
    constexpr float kRoot2OverPi = 0.79788456F;
    constexpr float kCubic = 0.044715F;
    const Floats inner = kRoot2OverPi * (x + kCubic * x * x * x);
    // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u))
    const Floats share = 1.0F / (1.0F + exponential(-2.0F * inner));
    const Floats inner_slope = kRoot2OverPi * (1.0F + 3.0F * kCubic * x * x);
    return {x * share, share + 2.0F * x * share * (1.0F - share) * inner_slope};
}

MEMCAP_INLINE ValueAndSlope relu(const Floats& x) {
    const Floats none{};
    return {x < none ? none : x, x > none ? broadcast(1.0F) : none};
}

/// log(1 + u) for u in [0, 1]: twice the area tangent of s = u / (2 + u), whose series goes down by s^2 <=
/// 1/9 a term.
MEMCAP_INLINE Floats log_of_one_and(const Floats& u) {
    const Floats s = u / (2.0F + u);
    const Floats square = s * s;
    Floats series = square * (1.0F / 15.0F) + 1.0F / 13.0F;
    series = series * square + 1.0F / 11.0F;
    series = series * square + 1.0F / 9.0F;
    series = series * square + 1.0F / 7.0F;
    series = series * square + 1.0F / 5.0F;
    series = series * square + 1.0F / 3.0F;
    series = series * square + 1.0F;
    return 2.0F * s * series;
}

MEMCAP_INLINE ValueAndSlope softplus(const Floats& x) {
    const Floats none{};
    const Floats small = exponential(x < none ? x : -x);
    const Floats share = 1.0F / (1.0F + small);
    return {(x < none ? none : x) + log_of_one_and(small), x < none ? small * share : share};
}

template <Activation kKind>
MEMCAP_INLINE ValueAndSlope evaluate(const Floats& x) {
    if constexpr (kKind == Activation::silu) return silu(x);
    if constexpr (kKind == Activation::relu) return relu(x);
    if constexpr (kKind == Activation::gelu) return gelu(x);
    if constexpr (kKind == Activation::gelu_tanh) return gelu_tanh(x);
    if constexpr (kKind == Activation::softplus) return softplus(x);
}

enum class Direction : bool { forward, backward };

template <Activation kKind, bool kGated, Direction kDirection>
MEMCAP_INLINE void run_at(const ActivationTask& task, std::int64_t row, std::int64_t i, std::int64_t count) {
    using V = Floats;
    const std::int64_t input_width = kGated ? 2 * task.width : task.width;
    const auto get = [count](const float* from) __attribute__((always_inline)) {
        return count == kWidth ? load(from) : load_some(from, count);
    };
    const auto put = [count](float* to, const V& value) __attribute__((always_inline)) {
        if (count == kWidth) {
            store(to, value);
        } else {
            store_some(to, value, count);
        }
    };
    const float* x = task.x + row * input_width + i;
    const auto f = evaluate<kKind>(get(x));
    if constexpr (kDirection == Direction::forward) {
        put(task.result + row * task.width + i, kGated ? f.value * get(x + task.width) : f.value);
    } else {
        const V gradient = get(task.gradient + row * task.width + i);
        float* to = task.result + row * input_width + i;
        if constexpr (kGated) {
            put(to, gradient * get(x + task.width) * f.slope);
            put(to + task.width, gradient * f.value);
        } else {
            put(to, gradient * f.slope);
        }
    }
}

template <Activation kKind, bool kGated, Direction kDirection>
MEMCAP_INLINE void run(const ActivationTask& task) {
    for (std::int64_t row = 0; row < task.rows; ++row) {
        std::int64_t i = 0;
        for (; i + kWidth <= task.width; i += kWidth) run_at<kKind, kGated, kDirection>(task, row, i, kWidth);
        if (i < task.width) run_at<kKind, kGated, kDirection>(task, row, i, task.width - i);
    }
}

template <Activation kKind, Direction kDirection>
MEMCAP_INLINE void run_kind(const ActivationTask& task) {
    if (task.gated) {
        run<kKind, true, kDirection>(task);
    } else {
        run<kKind, false, kDirection>(task);
    }
}

template <Direction kDirection>
MEMCAP_INLINE void run_any(const ActivationTask& task) {
    switch (task.kind) {
        case Activation::silu:
            return run_kind<Activation::silu, kDirection>(task);
        case Activation::relu:
            return run_kind<Activation::relu, kDirection>(task);
        case Activation::gelu:
            return run_kind<Activation::gelu, kDirection>(task);
        case Activation::gelu_tanh:
            return run_kind<Activation::gelu_tanh, kDirection>(task);
        case Activation::softplus:
            return run_kind<Activation::softplus, kDirection>(task);
    }
}

}  // namespace

void activation_forward(const ActivationTask& task) {
    run_any<Direction::forward>(task);
}

void activation_backward(const ActivationTask& task) {
    run_any<Direction::backward>(task);
}

}  // namespace memcap::nn::kernels::MEMCAP_ISA
