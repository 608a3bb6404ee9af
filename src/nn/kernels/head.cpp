// Passes over a row of logits: cap and largest, exponentials and their sum, gradient; one more for a
// temperature, since the loss that is told is always that of the logits as they are.
#include "nn/kernels/head.hpp"

#include "nn/kernels/isa.hpp"

#include "nn/kernels/vector.hpp"

namespace memcap::nn::kernels::MEMCAP_ISA {

namespace {

constexpr float kInfinity = __builtin_inff();

/// Calls step(values) with one register of a row after the other; what is missing at the end is -infinity.
/// Where kWrites, what step leaves in `values` goes back.
enum class Row : bool { read, rewrite };
template <Row kRow, class Step>
MEMCAP_INLINE void over_row(float* row, std::int64_t count, const Step& step) {
    std::int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) {
        Floats value = load(row + i);
        step(value);
        if (kRow == Row::rewrite) store(row + i, value);
    }
    if (i == count) return;
    Floats value = broadcast(-kInfinity);
    std::memcpy(&value, row + i, static_cast<std::size_t>(count - i) * sizeof(float));
    step(value);
    if (kRow == Row::rewrite) store_some(row + i, value, count - i);
}

/// cap * tanh(logit / cap), with tanh(u) = 1 - 2 / (exp(2 u) + 1).
MEMCAP_INLINE void cap_row(float* row, std::int64_t count, float cap) {
    over_row<Row::rewrite>(
        row, count, [cap](Floats & value) __attribute__((always_inline)) {
            value = cap * (1.0F - 2.0F / (exponential(value * (2.0F / cap)) + 1.0F));
        });
}

/// NaN if there is one in the row.
MEMCAP_INLINE float largest_of_row(float* row, std::int64_t count) {
    Floats largest = broadcast(-kInfinity);
    Floats doubt{};
    over_row<Row::read>(
        row, count, [&](const Floats& value) __attribute__((always_inline)) {
            largest = larger(largest, value);
            doubt = value == value ? doubt : value;
        });
    return largest_of(largest) + sum_of(doubt);
}

MEMCAP_INLINE bool contains(const float* row, std::int64_t count, float wanted) {
    Ints found{};
    std::int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) found |= load(row + i) == wanted;
    int any = 0;
    for (int lane = 0; lane < kWidth; ++lane) any |= found[lane];
    for (; i < count; ++i) any |= row[i] == wanted ? 1 : 0;
    return any != 0;
}

/// Sum of exp(logit - largest); where kRow says so, these stand in the row afterwards.
template <Row kRow>
MEMCAP_INLINE float exponentials(float* row, std::int64_t count, float largest) {
    Floats sums{};
    over_row<kRow>(
        row, count, [&](Floats & value) __attribute__((always_inline)) {
            value = exponential(value - largest);
            sums += value;
        });
    return sum_of(sums);
}

/// The same of sharpness * (logit - largest).
template <Row kRow>
MEMCAP_INLINE float sharp_exponentials(float* row, std::int64_t count, float largest, float sharpness) {
    Floats sums{};
    over_row<kRow>(
        row, count, [&](Floats & value) __attribute__((always_inline)) {
            value = exponential((value - largest) * sharpness);
            sums += value;
        });
    return sum_of(sums);
}

/// The gradient of weight times the cross-entropy of sharpness * logit, of logits that may be capped.
MEMCAP_INLINE void write_sharp_gradient(float* row, std::int64_t count, std::int64_t target, float largest,
                                        float sharpness, float weight, float cap) {
    const float wanted = row[target];
    weight *= sharpness;
    if (cap == 0.0F) {
        const float factor = weight / sharp_exponentials<Row::rewrite>(row, count, largest, sharpness);
        over_row<Row::rewrite>(
            row, count, [&](Floats & value) __attribute__((always_inline)) { value *= factor; });
        row[target] -= weight;
        return;
    }
    const float factor = weight / sharp_exponentials<Row::read>(row, count, largest, sharpness);
    over_row<Row::rewrite>(
        row, count, [&](Floats & value) __attribute__((always_inline)) {
            const Floats ratio = value / cap;
            value = exponential((value - largest) * sharpness) * factor * (1.0F - ratio * ratio);
        });
    row[target] -= weight * (1.0F - (wanted / cap) * (wanted / cap));
}

}  // namespace

void head_rows(const HeadRowsTask& task) {
    using V = Floats;
    const std::int64_t count = task.vocabulary;
    for (std::int64_t index = 0; index < task.rows; ++index) {
        float* row = task.logits + index * count;
        const std::int64_t target = task.target[index];
        const float cap = task.soft_cap;
        if (cap > 0.0F) cap_row(row, count, cap);
        const float largest = largest_of_row(row, count);
        const float wanted = row[target];
        task.correct[index] = wanted == largest && !contains(row, target, largest);
        const float sharpness = task.sharpness == nullptr ? 1.0F : task.sharpness[index];
        const bool is_sharp = task.weight != nullptr && sharpness != 1.0F;
        const bool in_place = task.weight != nullptr && cap == 0.0F && !is_sharp;
        const float sum = in_place ? exponentials<Row::rewrite>(row, count, largest)
                                   : exponentials<Row::read>(row, count, largest);
        task.nll_nats[index] = __builtin_logf(sum) - (wanted - largest);
        if (task.weight == nullptr) continue;
        const float weight = task.weight[index];
        if (is_sharp) {
            write_sharp_gradient(row, count, target, largest, sharpness, weight, cap);
            continue;
        }
        const float factor = weight / sum;
        if (in_place) {
            over_row<Row::rewrite>(
                row, count, [&](V & value) __attribute__((always_inline)) { value *= factor; });
            row[target] -= weight;
        } else {
            // d(capped) / d(logit) = 1 - tanh^2
            over_row<Row::rewrite>(
                row, count, [&](V & value) __attribute__((always_inline)) {
                    const V ratio = value / cap;
                    value = exponential(value - largest) * factor * (1.0F - ratio * ratio);
                });
            row[target] -= weight * (1.0F - (wanted / cap) * (wanted / cap));
        }
    }
}

}  // namespace memcap::nn::kernels::MEMCAP_ISA
