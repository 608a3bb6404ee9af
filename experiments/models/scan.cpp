// The selective scan of Mamba with all its gradients, for training on a CPU; compiled and called by scan.py.
//
// Shapes, all float32 and dense: x, dt, y [batch, length, channels]; a [states, channels]; b, c [batch,
// length, states]. h_t = exp(dt_t a) h_(t-1) + dt_t x_t b_t and y_t = sum over states of h_t c_t (Gu and Dao
// 2023, equations 2a, 2b and 4). LANES channels go side by side; backward keeps the states at the borders of
// chunks and makes those in between again.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

namespace {

constexpr std::size_t LANES = 16;
constexpr std::size_t CHUNK = 32;
constexpr std::size_t STATES = 16;

using Lanes = float[LANES];

struct Sizes {
    std::size_t batch, length, channels;
    std::size_t chunks() const { return (length + CHUNK - 1) / CHUNK; }
};

/// One step of the recurrence for LANES channels; `grow` [STATES][LANES] receives exp(dt a).
inline void advance(Lanes* h, Lanes* grow, const float* a, std::size_t channels, const float* x,
                    const float* dt, const float* b) {
    for (std::size_t n = 0; n < STATES; ++n) {
#pragma omp simd
        for (std::size_t i = 0; i < LANES; ++i) {
            grow[n][i] = std::exp(dt[i] * a[n * channels + i]);
            h[n][i] = grow[n][i] * h[n][i] + dt[i] * x[i] * b[n];
        }
    }
}

}  // namespace

/// y, and in `borders` [batch][channels / LANES][chunks][STATES][LANES] the states before each chunk.
extern "C" void scan_forward(std::size_t batch, std::size_t length, std::size_t channels, const float* x,
                             const float* dt, const float* a, const float* b, const float* c, float* y,
                             float* borders) {
    const Sizes sizes{batch, length, channels};
    const std::size_t blocks = channels / LANES;
    for (std::size_t job = 0; job < batch * blocks; ++job) {
        const std::size_t row = job / blocks;
        const std::size_t first = job % blocks * LANES;
        alignas(64) Lanes h[STATES] = {};
        alignas(64) Lanes grow[STATES];
        for (std::size_t t = 0; t < length; ++t) {
            if (t % CHUNK == 0) {
                std::memcpy(borders + (job * sizes.chunks() + t / CHUNK) * STATES * LANES, h, sizeof h);
            }
            const std::size_t at = (row * length + t) * channels + first;
            const std::size_t step = (row * length + t) * STATES;
            advance(h, grow, a + first, channels, x + at, dt + at, b + step);
            alignas(64) Lanes sum = {};
            for (std::size_t n = 0; n < STATES; ++n) {
#pragma omp simd
                for (std::size_t i = 0; i < LANES; ++i) sum[i] += h[n][i] * c[step + n];
            }
            std::memcpy(y + at, sum, sizeof sum);
        }
    }
}

/// Gradients of all inputs from that of y; da, db and dc must come zeroed.
extern "C" void scan_backward(std::size_t batch, std::size_t length, std::size_t channels, const float* x,
                              const float* dt, const float* a, const float* b, const float* c,
                              const float* borders, const float* dy, float* dx, float* ddt, float* da,
                              float* db, float* dc) {
    const Sizes sizes{batch, length, channels};
    const std::size_t blocks = channels / LANES;
    std::vector<float> wide_db(length * STATES * LANES);
    std::vector<float> wide_dc(length * STATES * LANES);
    alignas(64) static thread_local Lanes states[CHUNK + 1][STATES];
    alignas(64) static thread_local Lanes growth[CHUNK][STATES];
    for (std::size_t row = 0; row < batch; ++row) {
        std::fill(wide_db.begin(), wide_db.end(), 0.0F);
        std::fill(wide_dc.begin(), wide_dc.end(), 0.0F);
        for (std::size_t block = 0; block < blocks; ++block) {
            const std::size_t first = block * LANES;
            alignas(64) Lanes dh[STATES] = {};
            alignas(64) Lanes sum_da[STATES] = {};
            for (std::size_t chunk = sizes.chunks(); chunk-- > 0;) {
                const std::size_t from = chunk * CHUNK;
                const std::size_t count = length - from < CHUNK ? length - from : CHUNK;
                std::memcpy(states[0],
                            borders + ((row * blocks + block) * sizes.chunks() + chunk) * STATES * LANES,
                            sizeof states[0]);
                for (std::size_t k = 0; k < count; ++k) {
                    const std::size_t at = (row * length + from + k) * channels + first;
                    std::memcpy(states[k + 1], states[k], sizeof states[0]);
                    advance(states[k + 1], growth[k], a + first, channels, x + at, dt + at,
                            b + (row * length + from + k) * STATES);
                }
                for (std::size_t k = count; k-- > 0;) {
                    const std::size_t t = from + k;
                    const std::size_t at = (row * length + t) * channels + first;
                    const std::size_t step = (row * length + t) * STATES;
                    alignas(64) Lanes d_input = {};
                    alignas(64) Lanes d_rate = {};
                    for (std::size_t n = 0; n < STATES; ++n) {
                        float* to_b = wide_db.data() + (t * STATES + n) * LANES;
                        float* to_c = wide_dc.data() + (t * STATES + n) * LANES;
#pragma omp simd
                        for (std::size_t i = 0; i < LANES; ++i) {
                            const float up = dy[at + i];
                            const float mine = dh[n][i] + up * c[step + n];
                            to_c[i] += up * states[k + 1][n][i];
                            to_b[i] += mine * dt[at + i] * x[at + i];
                            d_input[i] += mine * b[step + n];
                            const float decayed = mine * growth[k][n][i];
                            const float through = decayed * states[k][n][i];
                            d_rate[i] += through * a[n * channels + first + i];
                            sum_da[n][i] += through * dt[at + i];
                            dh[n][i] = decayed;
                        }
                    }
#pragma omp simd
                    for (std::size_t i = 0; i < LANES; ++i) {
                        dx[at + i] = d_input[i] * dt[at + i];
                        ddt[at + i] = d_input[i] * x[at + i] + d_rate[i];
                    }
                }
            }
            for (std::size_t n = 0; n < STATES; ++n) {
                for (std::size_t i = 0; i < LANES; ++i) da[n * channels + first + i] += sum_da[n][i];
            }
        }
        for (std::size_t entry = 0; entry < length * STATES; ++entry) {
            float sum_b = 0.0F;
            float sum_c = 0.0F;
            for (std::size_t i = 0; i < LANES; ++i) {
                sum_b += wide_db[entry * LANES + i];
                sum_c += wide_dc[entry * LANES + i];
            }
            db[row * length * STATES + entry] = sum_b;
            dc[row * length * STATES + entry] = sum_c;
        }
    }
}
