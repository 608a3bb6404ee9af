// Counter-based random numbers: a stream is a pure function of its key, on every rank and machine.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "memcap/base/ids.hpp"

namespace memcap {

/// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011): the 128-bit block
/// at `counter` under `key`.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

/// The endless stream of numbers that belongs to a key. Streams with different keys are independent.
class RandomStream {
  public:
    explicit RandomStream(const Id128& key) : key_(key) {}
    /// The stream of random sample `index` under `seed` for one `purpose` ("words", "length").
    static RandomStream of_sample(std::uint64_t seed, std::uint64_t index, std::string_view purpose);

    std::uint32_t next_u32();
    /// Uniform in [0, 1), 53 random bits.
    double uniform();
    /// Uniform integer in [0, bound), without bias; bound > 0.
    std::uint64_t below(std::uint64_t bound);
    /// Standard normal numbers (Box-Muller in double precision, rounded to float32).
    void fill_normal(std::span<float> values);

  private:
    Id128 key_;
    std::uint64_t block_ = 0;
    std::array<std::uint32_t, 4> buffer_{};
    std::uint32_t used_ = 4;
};

}  // namespace memcap
