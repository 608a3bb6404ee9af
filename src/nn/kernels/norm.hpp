// Normalisation of rows on a CPU, forth and back, with the sum that comes before it.
#pragma once

#include <cstdint>

namespace memcap::nn::kernels {

/// Rows of `width` neighbouring floats. RMSNorm where `mean` is null, LayerNorm otherwise.
struct NormTask {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    const float* x = nullptr;
    const float* added = nullptr;   ///< added to x before; null for nothing
    const float* weight = nullptr;  ///< [weight_rows, width]; null for ones
    std::int64_t weight_rows = 1;   ///< row r has the weights r % weight_rows
    std::int64_t first_row = 0;     ///< r of the first row
    const float* bias = nullptr;    ///< [width]; null for zeros
    double epsilon = 0.0;
    float* sum = nullptr;      ///< x + added; written where `added` is
    float* y = nullptr;        ///< the normalised rows
    float* mean = nullptr;     ///< [rows]
    float* inverse = nullptr;  ///< [rows]: 1 / root of the mean square (from the mean)
};

/// The gradient of `x` (of `sum`, where something was added) from that of y.
struct NormGradientTask {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    const float* x = nullptr;  ///< what was normalised
    const float* weight = nullptr;
    std::int64_t weight_rows = 1;
    std::int64_t first_row = 0;
    const float* mean = nullptr;
    const float* inverse = nullptr;
    const float* gradient = nullptr;      ///< of y
    const float* gradient_sum = nullptr;  ///< of the sum by other ways, added to the result; null for none
    float* gradient_x = nullptr;
};

}  // namespace memcap::nn::kernels
