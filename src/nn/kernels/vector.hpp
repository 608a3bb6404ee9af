// Registers of floats in the width of the instruction set that a kernel file is compiled for.
#pragma once

#include <cstdint>
#include <cstring>

// Each kernel file is compiled once per instruction set (src/nn/CMakeLists.txt), which names the namespace
// and gives the floats of a register. No kernel file uses templates of the standard library: the linker could
// keep an instance for a newer processor and call it everywhere.
#ifndef MEMCAP_ISA
#define MEMCAP_ISA plain
#define MEMCAP_ISA_FLOATS 4
#endif

#define MEMCAP_INLINE inline __attribute__((always_inline))

namespace memcap::nn::kernels::MEMCAP_ISA {

inline constexpr std::int64_t kWidth = MEMCAP_ISA_FLOATS;

typedef float Floats __attribute__((vector_size(kWidth * 4)));       // NOLINT(modernize-use-using)
typedef std::int32_t Ints __attribute__((vector_size(kWidth * 4)));  // NOLINT(modernize-use-using)
typedef float Four __attribute__((vector_size(16)));                 // NOLINT(modernize-use-using)

MEMCAP_INLINE Floats load(const float* from) {
    Floats value;
    std::memcpy(&value, from, sizeof(value));
    return value;
}

MEMCAP_INLINE void store(float* to, const Floats& value) {
    std::memcpy(to, &value, sizeof(value));
}

MEMCAP_INLINE Floats broadcast(float value) {
    return value - Floats{};
}

/// The first `count` floats; zeros behind them.
MEMCAP_INLINE Floats load_some(const float* from, std::int64_t count) {
    Floats value{};
    std::memcpy(&value, from, static_cast<std::size_t>(count) * sizeof(float));
    return value;
}

MEMCAP_INLINE void store_some(float* to, const Floats& value, std::int64_t count) {
    std::memcpy(to, &value, static_cast<std::size_t>(count) * sizeof(float));
}

/// The larger of each pair; NaN if `a` is.
MEMCAP_INLINE Floats larger(const Floats& a, const Floats& b) {
    return a < b ? b : a;
}

/// The value with its lanes moved down by `by`, those that fall off put in above.
MEMCAP_INLINE Floats turned(const Floats& value, std::int64_t by) {
#ifdef __clang__
    // It has no shuffle whose lanes are a value.
    Floats all{};
    for (std::int64_t i = 0; i < kWidth; ++i) all[i] = value[(i + by) % kWidth];
    return all;
#else
    Ints from{};
    for (std::int64_t i = 0; i < kWidth; ++i) from[i] = static_cast<std::int32_t>((i + by) % kWidth);
    return __builtin_shuffle(value, from);
#endif
}

MEMCAP_INLINE float sum_of(const Floats& value) {
    Floats sums = value;
#pragma GCC unroll 4
    for (std::int64_t half = kWidth / 2; half > 0; half /= 2) sums += turned(sums, half);
    return sums[0];
}

MEMCAP_INLINE float largest_of(const Floats& value) {
    Floats largest = value;
#pragma GCC unroll 4
    for (std::int64_t half = kWidth / 2; half > 0; half /= 2)
        largest = larger(turned(largest, half), largest);
    return largest[0];
}

MEMCAP_INLINE std::int64_t smaller(std::int64_t a, std::int64_t b) {
    return a < b ? a : b;
}

/// exp(x) to about 1e-7 of its value for x in [-87, 88], the value at the end beyond, NaN of NaN: 2^n by the
/// exponent bits, the rest by the Taylor series up to the seventh power (|rest| < .347: the next term is
/// 5e-9).
MEMCAP_INLINE Floats exponential(const Floats& given) {
    constexpr float kLog2E = 1.44269504F;
    // ln 2 in two parts, the first short enough for exact products.
    constexpr float kLn2High = 0.693359375F;
    constexpr float kLn2Low = -2.12194440e-4F;
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the last bits.
    constexpr float kRounding = 12582912.0F;
    Floats x = given < -87.0F ? broadcast(-87.0F) : given;
    x = x > 88.0F ? broadcast(88.0F) : x;
    const Floats shifted = x * kLog2E + kRounding;
    const Floats n = shifted - kRounding;
    const Floats r = (x - n * kLn2High) - n * kLn2Low;
    Floats series = r * (1.0F / 5040.0F) + 1.0F / 720.0F;
    series = series * r + 1.0F / 120.0F;
    series = series * r + 1.0F / 24.0F;
    series = series * r + 1.0F / 6.0F;
    series = series * r + 0.5F;
    series = series * r + 1.0F;
    series = series * r + 1.0F;
    const Ints bits = __builtin_bit_cast(Ints, series) + (__builtin_bit_cast(Ints, shifted) << 23);
    const auto power = __builtin_bit_cast(Floats, bits);
    return given == given ? power : given;
}

}  // namespace memcap::nn::kernels::MEMCAP_ISA
