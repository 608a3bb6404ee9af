// The two passes over each row that a normalisation takes; the row stays in the first cache between them.
#include "nn/kernels/norm.hpp"

#include "nn/kernels/isa.hpp"

#include "nn/kernels/vector.hpp"

namespace memcap::nn::kernels::MEMCAP_ISA {

namespace {

/// Calls step(offset, count) for whole registers, then for what remains of `width`.
template <class Step>
MEMCAP_INLINE void over(std::int64_t width, const Step& step) {
    std::int64_t i = 0;
    for (; i + kWidth <= width; i += kWidth) step(i, kWidth);
    if (i < width) step(i, static_cast<int>(width - i));
}

/// The weights of a row; null for ones.
template <class Task>
MEMCAP_INLINE const float* weight_of(const Task& task, std::int64_t row) {
    if (task.weight == nullptr) return nullptr;
    return task.weight + (task.first_row + row) % task.weight_rows * task.width;
}

/// A run of at most kWidth floats; the last run of a row may be shorter.
MEMCAP_INLINE Floats get(const float* from, std::int64_t count) {
    return count == kWidth ? load(from) : load_some(from, count);
}

MEMCAP_INLINE void put(float* to, const Floats& value, std::int64_t count) {
    if (count == kWidth) {
        store(to, value);
    } else {
        store_some(to, value, count);
    }
}

}  // namespace

void norm_forward(const NormTask& task) {  // NOLINT(readability-function-size): one pass, in order
    using V = Floats;
    const auto width = static_cast<float>(task.width);
    for (std::int64_t row = 0; row < task.rows; ++row) {
        const std::int64_t first = row * task.width;
        const float* x = task.x + first;
        V sums{};
        V squares{};
        if (task.added != nullptr) {
            float* sum = task.sum + first;
            over(
                task.width, [&](std::int64_t i, int count) __attribute__((always_inline)) {
                    const V value = get(x + i, count) + get(task.added + first + i, count);
                    put(sum + i, value, count);
                    sums += value;
                    squares += value * value;
                });
            x = sum;
        } else {
            over(
                task.width, [&](std::int64_t i, int count) __attribute__((always_inline)) {
                    const V value = get(x + i, count);
                    sums += value;
                    squares += value * value;
                });
        }
        float mean = 0.0F;
        float square = sum_of(squares);
        if (task.mean != nullptr) {
            // The mean square from the mean, summed anew: the difference of two large numbers would lose
            // digits.
            mean = sum_of(sums) / width;
            V distances{};
            over(
                task.width, [&](std::int64_t i, int count) __attribute__((always_inline)) {
                    V distance = get(x + i, count) - mean;
                    if (count < kWidth) {
                        for (int lane = count; lane < kWidth; ++lane) distance[lane] = 0.0F;
                    }
                    distances += distance * distance;
                });
            square = sum_of(distances);
            task.mean[row] = mean;
        }
        const float inverse = 1.0F / __builtin_sqrtf(square / width + static_cast<float>(task.epsilon));
        task.inverse[row] = inverse;
        float* y = task.y + first;
        const float* weight = weight_of(task, row);
        over(
            task.width, [&](std::int64_t i, int count) __attribute__((always_inline)) {
                V value = (get(x + i, count) - mean) * inverse;
                if (weight != nullptr) value *= get(weight + i, count);
                if (task.bias != nullptr) value += get(task.bias + i, count);
                put(y + i, value, count);
            });
    }
}

// With n = (x - mean) r and h = weight * gradient: dx = r (h - mean(h) - n mean(h n)); RMSNorm lacks mean(h).
void norm_backward(const NormGradientTask& task) {
    using V = Floats;
    const auto width = static_cast<float>(task.width);
    for (std::int64_t row = 0; row < task.rows; ++row) {
        const std::int64_t first = row * task.width;
        const float mean = task.mean != nullptr ? task.mean[row] : 0.0F;
        const float inverse = task.inverse[row];
        const float* weight = weight_of(task, row);
        const auto scaled = [&](std::int64_t i, std::int64_t count) __attribute__((always_inline)) {
            V h = get(task.gradient + first + i, count);
            if (weight != nullptr) h *= get(weight + i, count);
            return h;
        };
        const auto normalised = [&](std::int64_t i, std::int64_t count) __attribute__((always_inline)) {
            return (get(task.x + first + i, count) - mean) * inverse;
        };
        V sums{};
        V projections{};
        over(
            task.width, [&](std::int64_t i, int count) __attribute__((always_inline)) {
                const V h = scaled(i, count);
                sums += h;
                projections += h * normalised(i, count);
            });
        const float projection = sum_of(projections) / width;
        const float shift = task.mean != nullptr ? sum_of(sums) / width : 0.0F;
        over(
            task.width, [&](std::int64_t i, int count) __attribute__((always_inline)) {
                V gradient = (scaled(i, count) - shift - normalised(i, count) * projection) * inverse;
                if (task.gradient_sum != nullptr) gradient += get(task.gradient_sum + first + i, count);
                put(task.gradient_x + first + i, gradient, count);
            });
    }
}

}  // namespace memcap::nn::kernels::MEMCAP_ISA
