// The scan in chunks, vectorised over channels; compiled for several instruction sets and chosen at run time.
#include "nn/detail/scan_kernel.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#define MEMCAP_INLINE inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define MEMCAP_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MEMCAP_CLONES
#endif

namespace memcap::nn::detail {

namespace {

/// exp(x) to about 1e-7 of its value for x in [-87, 88], and the value at the end beyond: 2^n by the exponent
/// bits, the rest by the Taylor series up to the seventh power (|rest| < .347: the next term is 5e-9).
MEMCAP_INLINE float exponential(float x) {
    constexpr float kLog2E = 1.44269504F;
    // ln 2 in two parts, the first short enough for exact products.
    constexpr float kLn2High = 0.693359375F;
    constexpr float kLn2Low = -2.12194440e-4F;
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the last bits.
    constexpr float kRounding = 12582912.0F;
    x = x < -87.0F ? -87.0F : x;
    x = x > 88.0F ? 88.0F : x;
    const float shifted = x * kLog2E + kRounding;
    const float n = shifted - kRounding;
    const float r = (x - n * kLn2High) - n * kLn2Low;
    float series = 1.0F / 5040.0F;
    series = series * r + 1.0F / 720.0F;
    series = series * r + 1.0F / 120.0F;
    series = series * r + 1.0F / 24.0F;
    series = series * r + 1.0F / 6.0F;
    series = series * r + 0.5F;
    series = series * r + 1.0F;
    series = series * r + 1.0F;
    const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) << 23U;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(series) + exponent);
}

/// kLanes channels from `first` on; a last block that is not full repeats its last channel and writes only
/// what exists.
struct Lanes {
    std::int64_t first;
    std::int64_t count;
};

MEMCAP_INLINE void load(const float* from, const Lanes& lanes, float* to) {
    from += lanes.first;
    if (lanes.count == kLanes) {
        for (std::int64_t w = 0; w < kLanes; ++w) to[w] = from[w];
    } else {
        for (std::int64_t w = 0; w < kLanes; ++w) to[w] = from[std::min(w, lanes.count - 1)];
    }
}

MEMCAP_INLINE void store(const float* from, const Lanes& lanes, float* to) {
    to += lanes.first;
    for (std::int64_t w = 0; w < lanes.count; ++w) to[w] = from[w];
}

/// decay [channels, S] -> [S][kLanes]
MEMCAP_INLINE void load_decay(const ScanTask& task, const Lanes& lanes, float* decay) {
    const std::int64_t columns = task.one_decay ? 1 : task.states;
    for (std::int64_t s = 0; s < columns; ++s) {
        for (std::int64_t w = 0; w < kLanes; ++w)
            decay[s * kLanes + w] = task.decay[(lanes.first + std::min(w, lanes.count - 1)) * columns + s];
    }
}

/// One position for kLanes channels and all states: factor = exp(step * decay), h = factor h + step x input,
/// y = sum of output h. `factor` is [S or 1][kLanes].
MEMCAP_INLINE void advance(const ScanTask& task, std::int64_t position, const float* decay, const float* step,
                           const float* x, float* factor, const float* before, float* h, float* y) {
    const float* input = task.input + position * task.state_stride;
    const float* output = task.output + position * task.state_stride;
    float driven[kLanes];
    float sum[kLanes];
    for (std::int64_t w = 0; w < kLanes; ++w) {
        driven[w] = step[w] * x[w];
        sum[w] = 0.0F;
    }
    if (task.one_decay) {
        for (std::int64_t w = 0; w < kLanes; ++w) factor[w] = exponential(step[w] * decay[w]);
    } else {
        for (std::int64_t i = 0; i < task.states * kLanes; i += kLanes) {
#pragma GCC ivdep
            for (std::int64_t w = 0; w < kLanes; ++w) factor[i + w] = exponential(step[w] * decay[i + w]);
        }
    }
    const std::int64_t factor_stride = task.one_decay ? 0 : kLanes;
    for (std::int64_t s = 0; s < task.states; ++s) {
        const float* own = factor + s * factor_stride;
        const float* old = before + s * kLanes;
        float* now = h + s * kLanes;
#pragma GCC ivdep  // `now` may be `old`, but never shifted
        for (std::int64_t w = 0; w < kLanes; ++w) {
            const float value = own[w] * old[w] + driven[w] * input[s];
            now[w] = value;
            sum[w] += value * output[s];
        }
    }
    for (std::int64_t w = 0; w < kLanes; ++w) y[w] = sum[w];
}

/// Adds the sums over the lanes of [rows][kLanes] to [rows].
MEMCAP_INLINE void add_lane_sums(const float* lanes, std::int64_t rows, float* sums) {
    for (std::int64_t i = 0; i < rows; ++i) {
        float sum = 0.0F;
        for (std::int64_t w = 0; w < kLanes; ++w) sum += lanes[i * kLanes + w];
        sums[i] += sum;
    }
}

/// What the backward of kLanes channels keeps from chunk to chunk.
struct BlockBuffers {
    std::vector<float> boundaries;  ///< [chunks][S][kLanes]: the states before each chunk
    std::vector<float> adjoint;     ///< [S][kLanes]: gradient of the state behind the positions still to come
};

/// Buffers of one chunk, used by one block after the other.
struct ChunkBuffers {
    explicit ChunkBuffers(std::int64_t states)
        : states_then(static_cast<std::size_t>((kChunk + 1) * states * kLanes)),
          factors(static_cast<std::size_t>(kChunk * states * kLanes)),
          input_sums(factors.size()),
          output_sums(factors.size()) {}

    std::vector<float> states_then;  ///< [kChunk + 1][S][kLanes]: before the chunk, and behind each position
    std::vector<float> factors;      ///< [kChunk][S or 1][kLanes]
    std::vector<float> input_sums;  ///< [kChunk][S][kLanes]: gradients of input, before the sum over channels
    std::vector<float> output_sums;
};

/// One position back: gradients of x and step of kLanes channels, and their part of those of input and
/// output.
MEMCAP_INLINE void retreat(const ScanTask& task, std::int64_t position, const float* decay, const float* step,
                           const float* x, const float* gradient, const float* factor, const float* before,
                           const float* now, float* adjoint, float* input_sums, float* output_sums,
                           float* gradient_x, float* gradient_step) {
    const float* input = task.input + position * task.state_stride;
    const float* output = task.output + position * task.state_stride;
    const std::int64_t factor_stride = task.one_decay ? 0 : kLanes;
    float driven[kLanes];
    float through_input[kLanes];
    float through_decay[kLanes];
    for (std::int64_t w = 0; w < kLanes; ++w) {
        driven[w] = step[w] * x[w];
        through_input[w] = 0.0F;
        through_decay[w] = 0.0F;
    }
    for (std::int64_t s = 0; s < task.states; ++s) {
        const std::int64_t i = s * kLanes;
        const float* own_factor = factor + s * factor_stride;
        const float* own_decay = decay + s * factor_stride;
#pragma GCC ivdep  // the buffers are apart, which the compiler cannot see
        for (std::int64_t w = 0; w < kLanes; ++w) {
            const float at_state = adjoint[i + w] + gradient[w] * output[s];
            output_sums[i + w] += gradient[w] * now[i + w];
            input_sums[i + w] += at_state * driven[w];
            through_input[w] += at_state * input[s];
            const float carried = at_state * own_factor[w];
            through_decay[w] += carried * before[i + w] * own_decay[w];
            adjoint[i + w] = carried;
        }
    }
    for (std::int64_t w = 0; w < kLanes; ++w) {
        gradient_x[w] = through_input[w] * step[w];
        gradient_step[w] = through_input[w] * x[w] + through_decay[w];
    }
}

/// The states before each chunk of one block.
MEMCAP_INLINE void find_boundaries(const ScanTask& task, const Lanes& lanes, const float* decay,
                                   float* factor, BlockBuffers& block) {
    const std::int64_t size = task.states * kLanes;
    std::vector<float> h(static_cast<std::size_t>(size), 0.0F);
    for (std::int64_t t = 0; t < task.positions; ++t) {
        if (t % kChunk == 0)
            std::memcpy(block.boundaries.data() + t / kChunk * size, h.data(),
                        static_cast<std::size_t>(size) * sizeof(float));
        float x[kLanes];
        float step[kLanes];
        float y[kLanes];
        load(task.x + t * task.channel_stride, lanes, x);
        load(task.step + t * task.channel_stride, lanes, step);
        advance(task, t, decay, step, x, factor, h.data(), h.data(), y);
    }
}

/// Positions first..first + count - 1 of one block, forth and back.
MEMCAP_INLINE void retreat_chunk(const ScanTask& task, const Lanes& lanes, const ScanGradients& gradients,
                                 std::int64_t first, std::int64_t count, const float* decay,
                                 BlockBuffers& block, ChunkBuffers& chunk) {
    const std::int64_t size = task.states * kLanes;
    const std::int64_t factor_size = task.one_decay ? kLanes : size;
    float x[kChunk][kLanes];
    float step[kChunk][kLanes];
    float lane_values[kLanes];
    std::memcpy(chunk.states_then.data(), block.boundaries.data() + first / kChunk * size,
                static_cast<std::size_t>(size) * sizeof(float));
    for (std::int64_t i = 0; i < count; ++i) {
        load(task.x + (first + i) * task.channel_stride, lanes, x[i]);
        load(task.step + (first + i) * task.channel_stride, lanes, step[i]);
        advance(task, first + i, decay, step[i], x[i], chunk.factors.data() + i * factor_size,
                chunk.states_then.data() + i * size, chunk.states_then.data() + (i + 1) * size, lane_values);
    }
    float skip[kLanes];
    load(task.skip, lanes, skip);
    for (std::int64_t i = count - 1; i >= 0; --i) {
        const std::int64_t offset = (first + i) * task.channel_stride;
        float gradient[kLanes];
        float gradient_x[kLanes];
        float gradient_step[kLanes];
        load(gradients.y + offset, lanes, gradient);
        // Repeated channels must not count in the sums over channels.
        for (std::int64_t w = lanes.count; w < kLanes; ++w) gradient[w] = 0.0F;
        retreat(task, first + i, decay, step[i], x[i], gradient, chunk.factors.data() + i * factor_size,
                chunk.states_then.data() + i * size, chunk.states_then.data() + (i + 1) * size,
                block.adjoint.data(), chunk.input_sums.data() + i * size, chunk.output_sums.data() + i * size,
                gradient_x, gradient_step);
        for (std::int64_t w = 0; w < kLanes; ++w) gradient_x[w] += skip[w] * gradient[w];
        store(gradient_x, lanes, gradients.x + offset);
        store(gradient_step, lanes, gradients.step + offset);
    }
}

std::int64_t blocks_of(const ScanTask& task) {
    return (task.channels + kLanes - 1) / kLanes;
}

MEMCAP_INLINE Lanes lanes_of(const ScanTask& task, std::int64_t block) {
    return {.first = block * kLanes, .count = std::min(kLanes, task.channels - block * kLanes)};
}

}  // namespace

MEMCAP_CLONES void scan_forward(const ScanTask& task, float* y) {
    const std::int64_t size = task.states * kLanes;
    std::vector<float> decay(static_cast<std::size_t>(size));
    std::vector<float> factor(static_cast<std::size_t>(size));
    std::vector<float> h(static_cast<std::size_t>(size));
    for (std::int64_t b = 0; b < blocks_of(task); ++b) {
        const Lanes lanes = lanes_of(task, b);
        load_decay(task, lanes, decay.data());
        float skip[kLanes];
        load(task.skip, lanes, skip);
        std::fill(h.begin(), h.end(), 0.0F);
        for (std::int64_t t = 0; t < task.positions; ++t) {
            float x[kLanes];
            float step[kLanes];
            float sum[kLanes];
            load(task.x + t * task.channel_stride, lanes, x);
            load(task.step + t * task.channel_stride, lanes, step);
            advance(task, t, decay.data(), step, x, factor.data(), h.data(), h.data(), sum);
            for (std::int64_t w = 0; w < kLanes; ++w) sum[w] += skip[w] * x[w];
            store(sum, lanes, y + t * task.channel_stride);
        }
    }
}

MEMCAP_CLONES void scan_backward(const ScanTask& task, const ScanGradients& gradients) {
    const std::int64_t size = task.states * kLanes;
    const std::int64_t chunks = (task.positions + kChunk - 1) / kChunk;
    std::vector<BlockBuffers> blocks(static_cast<std::size_t>(blocks_of(task)));
    std::vector<float> decays(static_cast<std::size_t>(blocks_of(task) * size));
    ChunkBuffers chunk(task.states);
    for (std::int64_t b = 0; b < blocks_of(task); ++b) {
        BlockBuffers& block = blocks[static_cast<std::size_t>(b)];
        block.boundaries.resize(static_cast<std::size_t>(chunks * size));
        block.adjoint.assign(static_cast<std::size_t>(size), 0.0F);
        load_decay(task, lanes_of(task, b), decays.data() + b * size);
        find_boundaries(task, lanes_of(task, b), decays.data() + b * size, chunk.factors.data(), block);
    }
    std::fill_n(gradients.input, task.positions * task.states, 0.0F);
    std::fill_n(gradients.output, task.positions * task.states, 0.0F);
    for (std::int64_t c = chunks - 1; c >= 0; --c) {
        const std::int64_t first = c * kChunk;
        const std::int64_t count = std::min(kChunk, task.positions - first);
        std::fill(chunk.input_sums.begin(), chunk.input_sums.end(), 0.0F);
        std::fill(chunk.output_sums.begin(), chunk.output_sums.end(), 0.0F);
        for (std::int64_t b = 0; b < blocks_of(task); ++b) {
            retreat_chunk(task, lanes_of(task, b), gradients, first, count, decays.data() + b * size,
                          blocks[static_cast<std::size_t>(b)], chunk);
        }
        add_lane_sums(chunk.input_sums.data(), count * task.states, gradients.input + first * task.states);
        add_lane_sums(chunk.output_sums.data(), count * task.states, gradients.output + first * task.states);
    }
}

}  // namespace memcap::nn::detail
