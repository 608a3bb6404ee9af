// Attention in blocks of query rows: a block's scores, their softmax, and the products around it.
#include "nn/kernels/attention.hpp"

#include "nn/kernels/isa.hpp"

#include "nn/kernels/small_product.hpp"
#include "nn/kernels/vector.hpp"

// Shapes: T positions, d head width, R rows of a block; T' and d' are T and d rounded up to whole registers.
namespace memcap::nn::kernels::MEMCAP_ISA {

namespace {

/// R: few, so that little is computed above the diagonal; a multiple of kTileRows.
constexpr std::int64_t kBlockRows = 24;
/// A row of four floats at least, for transpose().
constexpr std::int64_t kPad = kWidth;

constexpr std::int64_t padded(std::int64_t count) {
    return (count + kPad - 1) / kPad * kPad;
}

/// Hands out the pieces of a task's scratch.
class Pieces {
  public:
    explicit Pieces(float* first) : next_(first) {}
    float* take(std::int64_t count) {
        float* const piece = next_;
        next_ += count;
        return piece;
    }

  private:
    float* next_;
};

/// A head's elements of all positions as a table with rows of d' floats.
struct Table {
    float* rows = nullptr;        ///< [T', d']
    float* transposed = nullptr;  ///< [d', T']
};

/// Calls step(offset, count) for whole registers, then for what remains of `width`.
template <class Step>
MEMCAP_INLINE void over(std::int64_t width, const Step& step) {
    std::int64_t i = 0;
    for (; i + kWidth <= width; i += kWidth) step(i, kWidth);
    if (i < width) step(i, static_cast<int>(width - i));
}

MEMCAP_INLINE Floats get(const float* from, int count) {
    return count == kWidth ? load(from) : load_some(from, count);
}

MEMCAP_INLINE void put(float* to, const Floats& value, int count) {
    if (count == kWidth) {
        store(to, value);
    } else {
        store_some(to, value, count);
    }
}

MEMCAP_INLINE void copy_row(const float* from, float* to, std::int64_t count, float scale) {
    over(
        count, [&](std::int64_t c, int some)
                   __attribute__((always_inline)) { put(to + c, get(from + c, some) * scale, some); });
}

/// Rotates a row of `rotated` elements by +angle, or by -angle, and copies the rest, times `scale`.
MEMCAP_INLINE void rotate_row(const AttentionTask& task, std::int64_t position, const float* from, float* to,
                              float sign, float scale) {
    const std::int64_t half = task.rotated / 2;
    const float* cosine = task.cosine + position * half;
    const float* sine = task.sine + position * half;
    over(
        half, [&](std::int64_t c, int some) __attribute__((always_inline)) {
            const Floats first = get(from + c, some) * scale;
            const Floats second = get(from + half + c, some) * scale;
            const Floats straight = get(cosine + c, some);
            const Floats turned = get(sine + c, some) * sign;
            put(to + c, first * straight - second * turned, some);
            put(to + half + c, second * straight + first * turned, some);
        });
    copy_row(from + task.rotated, to + task.rotated, task.head_width - task.rotated, scale);
}

enum class Rotation : bool { no, yes };

/// Positions first .. last of a head to rows of d' floats, rotated if asked for; zeros fill each row.
MEMCAP_INLINE void load_rows(const AttentionTask& task, const float* from, Rotation rotation,
                             std::int64_t first, std::int64_t last, float scale, float* to) {
    const std::int64_t wide = padded(task.head_width);
    for (std::int64_t t = first; t < last; ++t) {
        const float* row = from + t * task.position_stride;
        float* place = to + (t - first) * wide;
        if (rotation == Rotation::yes && task.rotated > 0) {
            rotate_row(task, t, row, place, 1.0F, scale);
        } else {
            copy_row(row, place, task.head_width, scale);
        }
        for (std::int64_t c = task.head_width; c < wide; ++c) place[c] = 0.0F;
    }
}

/// The gradient of rows that load_rows() made, back to where they came from.
MEMCAP_INLINE void store_rows(const AttentionTask& task, const float* from, Rotation rotation,
                              std::int64_t first, std::int64_t last, float scale, float* to) {
    const std::int64_t wide = padded(task.head_width);
    for (std::int64_t t = first; t < last; ++t) {
        const float* row = from + (t - first) * wide;
        float* place = to + t * task.position_stride;
        if (rotation == Rotation::yes && task.rotated > 0) {
            rotate_row(task, t, row, place, -1.0F, scale);
        } else {
            copy_row(row, place, task.head_width, scale);
        }
    }
}

MEMCAP_INLINE Four load_four(const float* from) {
    Four value;
    std::memcpy(&value, from, sizeof(value));
    return value;
}

MEMCAP_INLINE void store_four(float* to, const Four& value) {
    std::memcpy(to, &value, sizeof(value));
}

/// [T', d'] -> [d', T'], four rows and columns at a time.
MEMCAP_INLINE void transpose(const Table& table, std::int64_t long_side, std::int64_t wide) {
    for (std::int64_t t = 0; t < long_side; t += 4) {
        for (std::int64_t c = 0; c < wide; c += 4) {
            const float* from = table.rows + t * wide + c;
            const Four a = load_four(from);
            const Four b = load_four(from + wide);
            const Four e = load_four(from + 2 * wide);
            const Four f = load_four(from + 3 * wide);
            const Four low_ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
            const Four high_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
            const Four low_ef = __builtin_shufflevector(e, f, 0, 4, 1, 5);
            const Four high_ef = __builtin_shufflevector(e, f, 2, 6, 3, 7);
            float* to = table.transposed + c * long_side + t;
            store_four(to, __builtin_shufflevector(low_ab, low_ef, 0, 1, 4, 5));
            store_four(to + long_side, __builtin_shufflevector(low_ab, low_ef, 2, 3, 6, 7));
            store_four(to + 2 * long_side, __builtin_shufflevector(high_ab, high_ef, 0, 1, 4, 5));
            store_four(to + 3 * long_side, __builtin_shufflevector(high_ab, high_ef, 2, 3, 6, 7));
        }
    }
}

MEMCAP_INLINE void clear(float* from, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) from[i] = 0.0F;
}

/// A head's rows of all positions, zeros behind the last, and their transpose.
MEMCAP_INLINE void load_table(const AttentionTask& task, const float* from, Rotation rotation,
                              const Table& table) {
    const std::int64_t wide = padded(task.head_width);
    const std::int64_t long_side = padded(task.positions);
    load_rows(task, from, rotation, 0, task.positions, 1.0F, table.rows);
    clear(table.rows + task.positions * wide, (long_side - task.positions) * wide);
    if (table.transposed != nullptr) transpose(table, long_side, wide);
}

/// A block of query rows, and the run of keys (whole registers) that any of them sees.
struct Block {
    std::int64_t first;
    std::int64_t last;
    std::int64_t first_key;
    std::int64_t last_key;

    std::int64_t rows() const { return last - first; }
    std::int64_t keys() const { return last_key - first_key; }
};

MEMCAP_INLINE Block block_at(const AttentionTask& task, std::int64_t first) {
    const std::int64_t last = smaller(first + kBlockRows, task.positions);
    const std::int64_t lowest = task.window > 0 && first >= task.window ? first - task.window + 1 : 0;
    return {first, last, lowest / kPad * kPad, padded(last)};
}

/// Lanes of the keys from `key` on that query row `position` sees: -1 where it does, else 0.
MEMCAP_INLINE Ints seen(const AttentionTask& task, std::int64_t position, std::int64_t key) {
    Ints lane;
    for (int i = 0; i < kWidth; ++i) lane[i] = i;
    const auto newest = static_cast<std::int32_t>(position - key);
    const Ints past = lane <= newest;
    if (task.window == 0) return past;
    return past & (lane > static_cast<std::int32_t>(newest - task.window));
}

/// A register of keys that the row sees all of.
struct Whole {
    MEMCAP_INLINE Floats shown(const Floats& value, float /*hidden*/) const { return value; }
};

/// One of which it sees some.
struct Partly {
    Ints seen;
    MEMCAP_INLINE Floats shown(const Floats& value, float hidden) const {
        return seen ? value : broadcast(hidden);
    }
};

/// Calls step(key, Whole or Partly) for each register of keys of which query row `position` sees any.
/// Returns the key behind the last.
template <class Step>
MEMCAP_INLINE std::int64_t over_keys(const AttentionTask& task, const Block& block, std::int64_t position,
                                     const Step& step) {
    std::int64_t key = block.first_key;
    if (task.window > 0 && position >= task.window) {
        const std::int64_t oldest = position - task.window + 1;
        key = oldest / kWidth * kWidth;
        if (key < oldest && key + kWidth <= position + 1) {
            step(key, Partly{seen(task, position, key)});
            key += kWidth;
        }
    }
    for (; key + kWidth <= position + 1; key += kWidth) step(key, Whole{});
    if (key <= position) {
        step(key, Partly{seen(task, position, key)});
        key += kWidth;
    }
    return key;
}

/// Zeros where query row `position` sees no key of its block; `end` as over_keys() gave it.
MEMCAP_INLINE void clear_unseen(const AttentionTask& task, const Block& block, std::int64_t position,
                                std::int64_t end, float* row) {
    if (task.window > 0 && position >= task.window) {
        const std::int64_t begin = (position - task.window + 1) / kWidth * kWidth;
        for (std::int64_t key = block.first_key; key < begin; key += kWidth) store(row + key, Floats{});
    }
    for (std::int64_t key = end; key < block.last_key; key += kWidth) store(row + key, Floats{});
}

MEMCAP_INLINE Floats capped(const Floats& score, float cap) {
    // tanh(u) = 1 - 2 / (exp(2 u) + 1)
    return cap * (1.0F - 2.0F / (exponential(score * (2.0F / cap)) + 1.0F));
}

/// Caps the scores of one row and finds the largest that is seen.
MEMCAP_INLINE float largest_score(const AttentionTask& task, const Block& block, std::int64_t position,
                                  float* scores) {
    Floats largest = broadcast(-3e38F);
    over_keys(
        task, block, position, [&](std::int64_t key, const auto& row) __attribute__((always_inline)) {
            Floats score = load(scores + key);
            if (task.soft_cap > 0.0F) {
                score = capped(score, task.soft_cap);
                store(scores + key, score);
            }
            largest = larger(row.shown(score, -3e38F), largest);
        });
    return largest_of(largest);
}

/// Scores [R, T'] of a block into `scores`.
MEMCAP_INLINE void block_scores(const AttentionTask& task, const Block& block, const float* query,
                                const float* key_transposed, float* scores) {
    const std::int64_t long_side = padded(task.positions);
    small_product<Sum::fresh>({.rows = block.rows(),
                               .columns = block.keys(),
                               .depth = task.head_width,
                               .a = query,
                               .row = padded(task.head_width),
                               .column = 1,
                               .b = key_transposed + block.first_key,
                               .b_stride = long_side,
                               .c = scores + block.first_key,
                               .c_stride = long_side});
}

/// exp(score - largest) in place of the scores of one row, and their sum.
MEMCAP_INLINE float exponentials(const AttentionTask& task, const Block& block, std::int64_t position,
                                 float largest, float* scores) {
    Floats sums{};
    const std::int64_t end = over_keys(
        task, block, position, [&](std::int64_t key, const auto& row) __attribute__((always_inline)) {
            const Floats share = row.shown(exponential(load(scores + key) - largest), 0.0F);
            store(scores + key, share);
            sums += share;
        });
    clear_unseen(task, block, position, end, scores);
    return sum_of(sums);
}

/// Shares of a row from its scores, and the gradient of the scores (before any cap) in place of that of the
/// shares: share * (gradient - sum of share * gradient).
MEMCAP_INLINE void softmax_row_backward(const AttentionTask& task, const Block& block, std::int64_t position,
                                        float log_sum, float* scores, float* gradient) {
    using V = Floats;
    V projections{};
    const std::int64_t end = over_keys(
        task, block, position, [&](std::int64_t key, const auto& row) __attribute__((always_inline)) {
            const V score = load(scores + key);
            const V exponent = (task.soft_cap > 0.0F ? capped(score, task.soft_cap) : score) - log_sum;
            const V share = row.shown(exponential(exponent), 0.0F);
            projections += share * load(gradient + key);
            // A cap's slope has to be found from the score, which therefore stays until then.
            if (task.soft_cap == 0.0F) store(scores + key, share);
        });
    const float projection = sum_of(projections);
    over_keys(
        task, block, position, [&](std::int64_t key, const auto& row) __attribute__((always_inline)) {
            V share = load(scores + key);
            V slope = broadcast(1.0F);
            if (task.soft_cap > 0.0F) {
                const V bounded = capped(share, task.soft_cap);
                const V ratio = bounded / task.soft_cap;
                slope = 1.0F - ratio * ratio;
                share = row.shown(exponential(bounded - log_sum), 0.0F);
                store(scores + key, share);
            }
            store(gradient + key, share * (load(gradient + key) - projection) * slope);
        });
    clear_unseen(task, block, position, end, scores);
    clear_unseen(task, block, position, end, gradient);
}

/// What the backward of one head keeps between its blocks.
struct BackwardTables {
    Table key;
    Table value;
    float* query;           ///< [R, d']
    float* gradient;        ///< [R, d'], of the mixed values
    float* gradient_query;  ///< [R, d']
    float* gradient_key;    ///< [T', d'], sums over the query heads
    float* gradient_value;
    float* shares;           ///< [R, T']
    float* gradient_scores;  ///< [R, T']
};

MEMCAP_INLINE void block_backward(const AttentionTask& task, const Block& block, std::int64_t head,
                                  const BackwardTables& tables) {
    const std::int64_t wide = padded(task.head_width);
    const std::int64_t long_side = padded(task.positions);
    load_rows(task, task.query + head * task.query_stride, Rotation::yes, block.first, block.last, task.scale,
              tables.query);
    for (std::int64_t t = block.first; t < block.last; ++t) {
        float* row = tables.gradient + (t - block.first) * wide;
        copy_row(task.gradient + t * task.mixed_stride + head * task.head_width, row, task.head_width, 1.0F);
        for (std::int64_t c = task.head_width; c < wide; ++c) row[c] = 0.0F;
    }
    block_scores(task, block, tables.query, tables.key.transposed, tables.shares);
    block_scores(task, block, tables.gradient, tables.value.transposed, tables.gradient_scores);
    for (std::int64_t t = block.first; t < block.last; ++t) {
        const std::int64_t row = (t - block.first) * long_side;
        softmax_row_backward(task, block, t, task.log_sum[head * task.positions + t], tables.shares + row,
                             tables.gradient_scores + row);
    }
    small_product<Sum::fresh>({.rows = block.rows(),
                               .columns = wide,
                               .depth = block.keys(),
                               .a = tables.gradient_scores + block.first_key,
                               .row = long_side,
                               .column = 1,
                               .b = tables.key.rows + block.first_key * wide,
                               .b_stride = wide,
                               .c = tables.gradient_query,
                               .c_stride = wide});
    store_rows(task, tables.gradient_query, Rotation::yes, block.first, block.last, task.scale,
               task.gradient_query + head * task.query_stride);
    const auto add_transposed = [&](const float* shares, const float* rows, float* sum)
        __attribute__((always_inline)) {
        small_product<Sum::onto>({.rows = block.keys(),
                                  .columns = wide,
                                  .depth = block.rows(),
                                  .a = shares + block.first_key,
                                  .row = 1,
                                  .column = long_side,
                                  .b = rows,
                                  .b_stride = wide,
                                  .c = sum + block.first_key * wide,
                                  .c_stride = wide});
    };
    add_transposed(tables.gradient_scores, tables.query, tables.gradient_key);
    add_transposed(tables.shares, tables.gradient, tables.gradient_value);
}

}  // namespace

std::int64_t attention_scratch_floats(std::int64_t positions, std::int64_t head_width) {
    constexpr std::int64_t kTables = 6;
    constexpr std::int64_t kBlocksWide = 3;
    constexpr std::int64_t kBlocksLong = 2;
    return padded(positions) * padded(head_width) * kTables +
           kBlockRows * (kBlocksWide * padded(head_width) + kBlocksLong * padded(positions));
}

void attention_forward(const AttentionTask& task) {
    const std::int64_t wide = padded(task.head_width);
    const std::int64_t long_side = padded(task.positions);
    Pieces pieces(task.scratch);
    const Table key{pieces.take(long_side * wide), pieces.take(long_side * wide)};
    const Table value{pieces.take(long_side * wide), nullptr};
    float* query = pieces.take(kBlockRows * wide);
    float* mixed = pieces.take(kBlockRows * wide);
    float* shares = pieces.take(kBlockRows * long_side);
    load_table(task, task.key, Rotation::yes, key);
    load_table(task, task.value, Rotation::no, value);
    for (std::int64_t head = 0; head < task.query_heads; ++head) {
        for (std::int64_t first = 0; first < task.positions; first += kBlockRows) {
            const Block block = block_at(task, first);
            load_rows(task, task.query + head * task.query_stride, Rotation::yes, block.first, block.last,
                      task.scale, query);
            block_scores(task, block, query, key.transposed, shares);
            float largest[kBlockRows];
            float sum[kBlockRows];
            for (std::int64_t r = 0; r < block.rows(); ++r) {
                float* row = shares + r * long_side;
                largest[r] = largest_score(task, block, block.first + r, row);
                sum[r] = exponentials(task, block, block.first + r, largest[r], row);
            }
            small_product<Sum::fresh>({.rows = block.rows(),
                                       .columns = wide,
                                       .depth = block.keys(),
                                       .a = shares + block.first_key,
                                       .row = long_side,
                                       .column = 1,
                                       .b = value.rows + block.first_key * wide,
                                       .b_stride = wide,
                                       .c = mixed,
                                       .c_stride = wide});
            for (std::int64_t r = 0; r < block.rows(); ++r) {
                const std::int64_t t = block.first + r;
                task.log_sum[head * task.positions + t] = largest[r] + __builtin_logf(sum[r]);
                copy_row(mixed + r * wide, task.mixed + t * task.mixed_stride + head * task.head_width,
                         task.head_width, 1.0F / sum[r]);
            }
        }
    }
}

void attention_backward(const AttentionTask& task) {
    const std::int64_t wide = padded(task.head_width);
    const std::int64_t table = padded(task.positions) * wide;
    Pieces pieces(task.scratch);
    BackwardTables tables{};
    tables.key = {pieces.take(table), pieces.take(table)};
    tables.value = {pieces.take(table), pieces.take(table)};
    tables.gradient_key = pieces.take(table);
    tables.gradient_value = pieces.take(table);
    tables.query = pieces.take(kBlockRows * wide);
    tables.gradient = pieces.take(kBlockRows * wide);
    tables.gradient_query = pieces.take(kBlockRows * wide);
    tables.shares = pieces.take(kBlockRows * padded(task.positions));
    tables.gradient_scores = pieces.take(kBlockRows * padded(task.positions));
    load_table(task, task.key, Rotation::yes, tables.key);
    load_table(task, task.value, Rotation::no, tables.value);
    clear(tables.gradient_key, table);
    clear(tables.gradient_value, table);
    for (std::int64_t head = 0; head < task.query_heads; ++head) {
        for (std::int64_t first = 0; first < task.positions; first += kBlockRows)
            block_backward(task, block_at(task, first), head, tables);
    }
    store_rows(task, tables.gradient_key, Rotation::yes, 0, task.positions, 1.0F, task.gradient_key);
    store_rows(task, tables.gradient_value, Rotation::no, 0, task.positions, 1.0F, task.gradient_value);
}

}  // namespace memcap::nn::kernels::MEMCAP_ISA
