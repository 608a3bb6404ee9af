// Products of small matrices that lie in the first caches, as attention over short texts is made of.
#pragma once

#include "nn/kernels/vector.hpp"

namespace memcap::nn::kernels::MEMCAP_ISA {

/// c (+)= a b with a [M, K] at a[m * row + k * column], b [K, N] and c [M, N] with rows of b_stride and
/// c_stride floats; N is a multiple of kWidth.
struct SmallProduct {
    std::int64_t rows = 0;     ///< M
    std::int64_t columns = 0;  ///< N
    std::int64_t depth = 0;    ///< K
    const float* a = nullptr;
    std::int64_t row = 0;
    std::int64_t column = 0;
    const float* b = nullptr;
    std::int64_t b_stride = 0;
    float* c = nullptr;
    std::int64_t c_stride = 0;
};

enum class Sum : bool { fresh, onto };

template <int kRows, int kVectors, Sum kSum>
MEMCAP_INLINE void product_tile(const SmallProduct& p, std::int64_t row, std::int64_t column) {
    using V = Floats;
    V sum[kRows][kVectors];
    float* c = p.c + row * p.c_stride + column;
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
            sum[m][v] = kSum == Sum::onto ? load(c + m * p.c_stride + v * kWidth) : V{};
    }
    const float* a = p.a + row * p.row;
    const float* b = p.b + column;
    for (std::int64_t k = 0; k < p.depth; ++k) {
        V factor[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) factor[v] = load(b + v * kWidth);
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
            const V own = broadcast(a[m * p.row]);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) sum[m][v] += own * factor[v];
        }
        a += p.column;
        b += p.b_stride;
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) store(c + m * p.c_stride + v * kWidth, sum[m][v]);
    }
}

template <int kRows, Sum kSum>
MEMCAP_INLINE void product_rows(const SmallProduct& p, std::int64_t row) {
    constexpr int kMost = kWidth == 16 ? 4 : 2;
    std::int64_t column = 0;
    for (; column + kMost * kWidth <= p.columns; column += kMost * kWidth)
        product_tile<kRows, kMost, kSum>(p, row, column);
    if constexpr (kMost == 4) {
        if (column + 2 * kWidth <= p.columns) {
            product_tile<kRows, 2, kSum>(p, row, column);
            column += 2 * kWidth;
        }
    }
    if (column < p.columns) product_tile<kRows, 1, kSum>(p, row, column);
}

/// Rows that a tile takes at most: as many sums as hide each other's latency and fit the registers.
inline constexpr std::int64_t kTileRows = 6;

template <Sum kSum>
MEMCAP_INLINE void small_product(const SmallProduct& p) {
    // Tiles of nearly equal height: a thin one at the end would have too few sums to hide their latency.
    std::int64_t row = 0;
    for (std::int64_t tiles = (p.rows + kTileRows - 1) / kTileRows; tiles > 0; --tiles) {
        const std::int64_t height = (p.rows - row + tiles - 1) / tiles;
        switch (height) {
            case 6:
                product_rows<6, kSum>(p, row);
                break;
            case 5:
                product_rows<5, kSum>(p, row);
                break;
            case 4:
                product_rows<4, kSum>(p, row);
                break;
            case 3:
                product_rows<3, kSum>(p, row);
                break;
            case 2:
                product_rows<2, kSum>(p, row);
                break;
            default:
                product_rows<1, kSum>(p, row);
        }
        row += height;
    }
}

}  // namespace memcap::nn::kernels::MEMCAP_ISA
