// Byte strings: the layout on the wire, and that cut or foreign bytes are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/base/protocol.hpp"

namespace memcap {
namespace {

Bytes sample_bytes() {
    ByteWriter writer;
    writer.number(std::int32_t{-2});
    writer.number(0.1);
    writer.number(Precision::float16);
    writer.number(true);
    writer.id(Id128{0x0123456789abcdef, 0xfedcba9876543210});
    writer.text(std::string("zero \0 inside", 13));
    writer.array(std::vector<float>{1.5F, -0.0F, std::numeric_limits<float>::denorm_min()});
    writer.array(std::vector<std::int64_t>{});
    writer.text("");
    return std::move(writer).bytes();
}

void read_sample(ByteReader& reader) {
    EXPECT_EQ(reader.number<std::int32_t>(), -2);
    EXPECT_EQ(reader.number<double>(), 0.1);
    EXPECT_EQ(reader.number<Precision>(), Precision::float16);
    EXPECT_EQ(reader.number<bool>(), true);
    EXPECT_EQ(reader.id(), (Id128{0x0123456789abcdef, 0xfedcba9876543210}));
    EXPECT_EQ(reader.text(), std::string("zero \0 inside", 13));
    const auto floats = reader.array<float>();
    EXPECT_EQ(floats, (std::vector<float>{1.5F, -0.0F, std::numeric_limits<float>::denorm_min()}));
    EXPECT_TRUE(std::signbit(floats[1]));
    EXPECT_TRUE(reader.array<std::int64_t>().empty());
    EXPECT_EQ(reader.text(), "");
}

TEST(Bytes, GiveBackWhatWasWritten) {
    const Bytes bytes = sample_bytes();
    ByteReader reader(bytes);
    read_sample(reader);
    EXPECT_TRUE(reader.at_end());
    EXPECT_NO_THROW(reader.expect_end());
}

TEST(Bytes, HaveALittleEndianLayoutWithLengthsBeforeContents) {
    ByteWriter writer;
    writer.number(std::uint32_t{0x04030201});
    writer.text("AB");
    writer.raw(std::vector<std::byte>{std::byte{9}});
    const std::vector<int> expected{1, 2, 3, 4, 2, 0, 0, 0, 0, 0, 0, 0, 'A', 'B', 9};
    std::vector<int> found;
    for (const std::byte byte : writer.bytes()) found.push_back(std::to_integer<int>(byte));
    EXPECT_EQ(found, expected);
}

TEST(ByteReader, RefusesBytesThatWereCutAnywhere) {
    const Bytes bytes = sample_bytes();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        // A copy of exactly this size, so that a sanitizer sees any read beyond it.
        const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        ByteReader reader(cut);
        EXPECT_THROW(read_sample(reader), TransportError) << size;
    }
}

TEST(ByteReader, RefusesBytesThatAreLeftOver) {
    Bytes bytes = sample_bytes();
    bytes.push_back(std::byte{0});
    ByteReader reader(bytes);
    read_sample(reader);
    EXPECT_FALSE(reader.at_end());
    EXPECT_THROW(reader.expect_end(), TransportError);
}

TEST(ByteReader, RefusesCountsThatOverflow) {
    // 2^61 elements of 8 bytes are 2^64 bytes: 0 in 64-bit arithmetic.
    for (const std::uint64_t count : {std::uint64_t{1} << 61, std::uint64_t{2}, UINT64_MAX, UINT64_MAX / 8}) {
        ByteWriter writer;
        writer.number(count);
        writer.number(std::uint64_t{5});
        ByteReader array(writer.bytes());
        EXPECT_THROW(array.array<double>(), TransportError) << count;
    }
    ByteWriter writer;
    writer.number(UINT64_MAX);
    ByteReader text(writer.bytes());
    EXPECT_THROW(text.text(), TransportError);
}

TEST(ByteReader, TheErrorTellsOfCutsAndVersions) {
    try {
        ByteReader({}).number<std::int32_t>();
        FAIL() << "read";
    } catch (const TransportError& error) {
        EXPECT_STREQ(error.what(),
                     "a message or record does not have the expected layout "
                     "(it was cut, or written by another version of memcap). "
                     "Use one version of memcap for all ranks and for the run folder");
    }
}

}  // namespace
}  // namespace memcap
