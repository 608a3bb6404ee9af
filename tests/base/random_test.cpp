// Random numbers: the published Philox vectors, and the distributions and independence of the streams.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/random.hpp"

namespace memcap {
namespace {

using Block = std::array<std::uint32_t, 4>;

RandomStream stream(std::uint64_t number) {
    return RandomStream(Id128{0x9d1c, number});
}

std::vector<float> normal_numbers(std::uint64_t key, std::size_t count) {
    std::vector<float> values(count);
    stream(key).fill_normal(values);
    return values;
}

double normal_cdf(double x) {
    return std::erfc(-x / std::sqrt(2.0)) / 2.0;
}

// Random123 1.14, tests/kat_vectors, the three lines "philox4x32 10".
TEST(Philox, GivesThePublishedKnownAnswers) {
    EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
              (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, IsThePhiloxBlocksOfItsKeyInOrder) {
    // The low half of the id is the key, the high half the upper half of the counter.
    RandomStream numbers(Id128{0x243f6a8885a308d3, 0x299f31d0a4093822});
    for (std::uint32_t block = 0; block < 3; ++block) {
        const Block expected = philox4x32({block, 0, 0x85a308d3, 0x243f6a88}, {0xa4093822, 0x299f31d0});
        for (const std::uint32_t number : expected) EXPECT_EQ(numbers.next_u32(), number);
    }
}

TEST(RandomStream, OfASampleDependsOnSeedIndexAndPurposeAlone) {
    const auto first = [](std::uint64_t seed, std::uint64_t index, std::string_view purpose) {
        return RandomStream::of_sample(seed, index, purpose).next_u32();
    };
    EXPECT_EQ(first(1, 2, "words"), first(1, 2, "words"));
    const std::set<std::uint32_t> numbers{first(1, 2, "words"), first(2, 1, "words"),  first(0, 2, "words"),
                                          first(1, 3, "words"), first(1, 2, "length"), first(1, 2, "")};
    EXPECT_EQ(numbers.size(), 6U);

    ByteWriter key;  // seed and index in 64 bits, then the purpose behind its 64-bit length
    key.number(std::uint64_t{1});
    key.number(std::uint64_t{2});
    key.text("words");
    EXPECT_EQ(first(1, 2, "words"), RandomStream(hash128(key.bytes())).next_u32());
}

TEST(RandomStream, EachBitOfTheKeyChangesTheNumbers) {
    const Id128 key{0x0123456789abcdef, 0xfedcba9876543210};
    std::set<std::pair<std::uint32_t, std::uint32_t>> starts;
    const auto add = [&](const Id128& id) {
        RandomStream numbers(id);
        const std::uint32_t first = numbers.next_u32();
        starts.emplace(first, numbers.next_u32());
    };
    add(key);
    for (int bit = 0; bit < 64; ++bit) {
        const std::uint64_t flip = std::uint64_t{1} << bit;
        add({key.high ^ flip, key.low});
        add({key.high, key.low ^ flip});
    }
    EXPECT_EQ(starts.size(), 129U);
}

TEST(RandomStream, NeighbouringKeysGiveIndependentStreams) {
    constexpr int kPairs = 40'000;
    constexpr int kCells = 8;
    const std::array<std::pair<RandomStream, RandomStream>, 3> pairs{
        {{RandomStream(Id128{7, 1}), RandomStream(Id128{7, 2})},
         {RandomStream(Id128{1, 7}), RandomStream(Id128{2, 7})},
         {RandomStream::of_sample(0, 5, "words"), RandomStream::of_sample(0, 6, "words")}}};
    for (auto [left, right] : pairs) {
        double product = 0.0;
        std::array<int, kCells * kCells> counts{};
        for (int i = 0; i < kPairs; ++i) {
            const double a = left.uniform();
            const double b = right.uniform();
            product += (a - 0.5) * (b - 0.5);
            ++counts[static_cast<std::size_t>(a * kCells) * kCells + static_cast<std::size_t>(b * kCells)];
        }
        // The variance of a product of two centred uniform numbers is (1/12)^2.
        EXPECT_LT(std::abs(product / kPairs) * 12.0 * std::sqrt(kPairs), 3.3);
        const double expected = static_cast<double>(kPairs) / (kCells * kCells);
        double chi_square = 0.0;
        for (const int count : counts) chi_square += (count - expected) * (count - expected) / expected;
        EXPECT_LT(chi_square, 103.4) << "99.9 % quantile with 63 degrees of freedom";
    }
}

TEST(RandomStream, UniformNumbersAreInTheHalfOpenUnitIntervalAndUse53Bits) {
    RandomStream numbers = stream(3);
    std::vector<double> values(50'000);
    for (double& value : values) value = numbers.uniform();
    const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
    EXPECT_GE(*least, 0.0);
    EXPECT_LT(*greatest, 1.0);
    EXPECT_TRUE(std::ranges::all_of(values, [](double v) { return std::trunc(v * 0x1p53) == v * 0x1p53; }));
    // Half of all numbers have the last of the 53 bits set.
    const auto odd =
        std::ranges::count_if(values, [](double v) { return static_cast<std::uint64_t>(v * 0x1p53) & 1U; });
    EXPECT_NEAR(static_cast<double>(odd), 25'000, 3.3 * std::sqrt(50'000) / 2);
    std::ranges::sort(values);
    double distance = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double rank = static_cast<double>(i);
        distance = std::max({distance, values[i] - rank / 50'000, (rank + 1) / 50'000 - values[i]});
    }
    EXPECT_LT(distance, 1.95 / std::sqrt(50'000)) << "Kolmogorov-Smirnov, level .001";
}

TEST(RandomStream, BelowIsUniformForSmallBounds) {
    constexpr int kDraws = 70'000;
    RandomStream numbers = stream(4);
    std::array<int, 7> counts{};
    for (int i = 0; i < kDraws; ++i) ++counts.at(numbers.below(7));
    double chi_square = 0.0;
    for (const int count : counts) chi_square += (count - 10'000.0) * (count - 10'000.0) / 10'000.0;
    EXPECT_LT(chi_square, 22.46) << "99.9 % quantile with 6 degrees of freedom";
}

TEST(RandomStream, BelowIsUniformWhereAPlainRemainderIsNot) {
    // 2^64 mod 3 * 2^62 = 2^62: a plain remainder would give the first third of the numbers twice as often.
    constexpr std::uint64_t kThird = std::uint64_t{1} << 62;
    constexpr int kDraws = 30'000;
    RandomStream numbers = stream(5);
    std::array<int, 3> counts{};
    for (int i = 0; i < kDraws; ++i) ++counts.at(numbers.below(3 * kThird) / kThird);
    double chi_square = 0.0;
    for (const int count : counts) chi_square += (count - 10'000.0) * (count - 10'000.0) / 10'000.0;
    EXPECT_LT(chi_square, 13.82) << "99.9 % quantile with 2 degrees of freedom";
}

TEST(RandomStream, BelowHandlesTheExtremeBounds) {
    RandomStream numbers = stream(6);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(numbers.below(1), 0U);
    EXPECT_LT(numbers.below(UINT64_MAX), UINT64_MAX);
    EXPECT_THROW(numbers.below(0), ContractViolation);
}

TEST(RandomStream, NormalNumbersHaveTheMomentsOfTheStandardNormal) {
    constexpr std::size_t kCount = 200'000;
    std::array<double, 4> moments{};
    for (const float value : normal_numbers(8, kCount)) {
        double power = 1.0;
        for (double& moment : moments) moment += (power *= value) / kCount;
    }
    // Variances of x, x^2, x^3, x^4: 1, 2, 15, 96. Bound: 3.3 standard errors.
    const double error = 3.3 / std::sqrt(kCount);
    EXPECT_NEAR(moments[0], 0.0, error);
    EXPECT_NEAR(moments[1], 1.0, error * std::sqrt(2.0));
    EXPECT_NEAR(moments[2], 0.0, error * std::sqrt(15.0));
    EXPECT_NEAR(moments[3], 3.0, error * std::sqrt(96.0));
}

TEST(RandomStream, NormalNumbersFollowTheNormalDistribution) {
    constexpr std::size_t kCount = 100'000;
    auto values = normal_numbers(9, kCount);
    // Both halves of each pair: the cosine branch and the sine branch.
    for (const std::size_t branch : {0U, 1U}) {
        std::vector<double> half;
        for (std::size_t i = branch; i < kCount; i += 2) half.push_back(values[i]);
        std::ranges::sort(half);
        const double count = static_cast<double>(half.size());
        double distance = 0.0;
        for (std::size_t i = 0; i < half.size(); ++i) {
            const double rank = static_cast<double>(i);
            const double cdf = normal_cdf(half[i]);
            distance = std::max({distance, cdf - rank / count, (rank + 1) / count - cdf});
        }
        EXPECT_LT(distance, 1.95 / std::sqrt(count)) << "Kolmogorov-Smirnov, level .001";
    }
}

TEST(RandomStream, TheTwoNormalNumbersOfAPairAreUncorrelatedInValueAndSquare) {
    constexpr std::size_t kPairs = 100'000;
    const auto values = normal_numbers(10, 2 * kPairs);
    double product = 0.0;
    double squares = 0.0;
    for (std::size_t i = 0; i < 2 * kPairs; i += 2) {
        const double a = values[i];
        const double b = values[i + 1];
        product += a * b;
        squares += (a * a - 1.0) * (b * b - 1.0) / 2.0;
    }
    EXPECT_LT(std::abs(product) / std::sqrt(kPairs), 3.3);
    EXPECT_LT(std::abs(squares) / std::sqrt(kPairs), 3.3);
}

TEST(RandomStream, FewerNormalNumbersAreTheStartOfMore) {
    const auto seven = normal_numbers(11, 7);
    const auto many = normal_numbers(11, 20);
    EXPECT_TRUE(std::equal(seven.begin(), seven.end(), many.begin()));
    stream(11).fill_normal({});
}

}  // namespace
}  // namespace memcap
