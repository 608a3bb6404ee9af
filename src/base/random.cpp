// Philox rounds and the distributions on top of them.
#include "memcap/base/random.hpp"

#include <cmath>
#include <numbers>

#include "memcap/base/bytes.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/hash.hpp"

namespace memcap {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
    constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
    constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
    constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
    constexpr std::uint32_t kWeyl1 = 0xBB67AE85;
    constexpr int kRounds = 10;
    for (int round = 0; round < kRounds; ++round) {
        const std::uint64_t product0 = kMultiplier0 * counter[0];
        const std::uint64_t product1 = kMultiplier1 * counter[2];
        counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
                   static_cast<std::uint32_t>(product1),
                   static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
                   static_cast<std::uint32_t>(product0)};
        key[0] += kWeyl0;
        key[1] += kWeyl1;
    }
    return counter;
}

RandomStream RandomStream::of_sample(std::uint64_t seed, std::uint64_t index, std::string_view purpose) {
    ByteWriter key;
    key.number(seed);
    key.number(index);
    key.text(purpose);
    return RandomStream(hash128(key.bytes()));
}

std::uint32_t RandomStream::next_u32() {
    if (used_ == buffer_.size()) {
        // Half of the 128-bit id is the key, the other half the upper half of the counter.
        buffer_ =
            philox4x32({static_cast<std::uint32_t>(block_), static_cast<std::uint32_t>(block_ >> 32),
                        static_cast<std::uint32_t>(key_.high), static_cast<std::uint32_t>(key_.high >> 32)},
                       {static_cast<std::uint32_t>(key_.low), static_cast<std::uint32_t>(key_.low >> 32)});
        ++block_;
        used_ = 0;
    }
    return buffer_[used_++];
}

double RandomStream::uniform() {
    const std::uint64_t high = next_u32();
    const std::uint64_t bits = (high << 32) | next_u32();
    return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

std::uint64_t RandomStream::below(std::uint64_t bound) {
    MEMCAP_EXPECT(bound > 0);
    const std::uint64_t rejected = (0 - bound) % bound;  // 2^64 mod bound
    while (true) {
        const std::uint64_t high = next_u32();
        const std::uint64_t bits = (high << 32) | next_u32();
        if (bits >= rejected) return bits % bound;
    }
}

void RandomStream::fill_normal(std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); i += 2) {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
        const double angle = 2.0 * std::numbers::pi * uniform();
        values[i] = static_cast<float>(radius * std::cos(angle));
        if (i + 1 < values.size()) values[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
}

}  // namespace memcap
