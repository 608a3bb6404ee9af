// Frames under damage: what is whole is found, whatever lies around it.
#include "memcap/store/journal/frame.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "memcap/base/files.hpp"

namespace memcap::store {
namespace {

struct Segment {
    Bytes bytes;
    std::vector<std::size_t> ends;  ///< of each frame
};

std::string payload_of(std::size_t frame) {
    return "payload " + std::to_string(frame) + std::string(3 * frame, 'x');
}

Segment make_segment(std::size_t frames) {
    Segment segment{encode_header({.schema_version = 1, .number = 3, .run_id = {7, 8}}), {}};
    for (std::size_t i = 0; i < frames; ++i) {
        const std::string payload = payload_of(i);
        const Bytes frame =
            encode_frame({.type = FrameType::result, .sequence = i + 1, .payload = as_bytes(payload)});
        segment.bytes.insert(segment.bytes.end(), frame.begin(), frame.end());
        segment.ends.push_back(segment.bytes.size());
    }
    return segment;
}

struct Found {
    ScanReport report;
    std::vector<std::uint64_t> sequences;
};

Found scan(std::span<const std::byte> bytes) {
    Found found;
    found.report = scan_segment(bytes, [&](const Frame& frame) {
        found.sequences.push_back(frame.sequence);
        const std::string text(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size());
        EXPECT_EQ(text, payload_of(frame.sequence - 1));
    });
    return found;
}

TEST(Frame, AWholeSegmentComesBackInOrder) {
    const Segment segment = make_segment(5);
    const Found found = scan(segment.bytes);
    EXPECT_EQ(found.sequences, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
    EXPECT_EQ(found.report.damaged_bytes, 0U);
    EXPECT_EQ(found.report.torn_bytes, 0U);
    EXPECT_EQ(found.report.whole_bytes, segment.bytes.size());
    const auto header = decode_header(segment.bytes);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->number, 3U);
    EXPECT_EQ(header->run_id, (Id128{7, 8}));
}

TEST(Frame, TornAtEachByteOfTheLastFrameLosesThatFrameAlone) {
    const Segment segment = make_segment(4);
    const std::size_t last = segment.ends[2];
    for (std::size_t size = last; size < segment.bytes.size(); ++size) {
        const Found found = scan(std::span(segment.bytes).first(size));
        EXPECT_EQ(found.sequences, (std::vector<std::uint64_t>{1, 2, 3})) << size;
        EXPECT_EQ(found.report.torn_bytes, size - last) << size;
        EXPECT_EQ(found.report.damaged_bytes, 0U) << size;
        EXPECT_EQ(found.report.whole_bytes, last) << size;
    }
}

TEST(Frame, ASegmentCutInItsHeaderHasNoFrames) {
    const Segment segment = make_segment(0);
    for (std::size_t size = 0; size < kSegmentHeaderBytes; ++size) {
        const Found found = scan(std::span(segment.bytes).first(size));
        EXPECT_EQ(found.report.torn_bytes, size);
        EXPECT_EQ(found.report.frames, 0U);
    }
}

TEST(Frame, AZeroFilledBlockHidesOnlyTheFramesItTouches) {
    Segment segment = make_segment(6);
    // From the middle of frame 2 to the middle of frame 4.
    for (std::size_t i = segment.ends[0] + 10; i < segment.ends[2] + 10; ++i) segment.bytes[i] = std::byte{0};
    const Found found = scan(segment.bytes);
    EXPECT_EQ(found.sequences, (std::vector<std::uint64_t>{1, 5, 6}));
    EXPECT_EQ(found.report.damaged_bytes, segment.ends[3] - segment.ends[0]);
    EXPECT_EQ(found.report.torn_bytes, 0U);
}

TEST(Frame, ZerosAtTheEndAreATornTail) {
    Segment segment = make_segment(2);
    const std::size_t whole = segment.bytes.size();
    segment.bytes.resize(whole + 4096);
    const Found found = scan(segment.bytes);
    EXPECT_EQ(found.report.torn_bytes, 4096U);
    EXPECT_EQ(found.report.whole_bytes, whole);
}

TEST(Frame, AnyFlippedBitHidesItsFrameAndNoOther) {
    const Segment segment = make_segment(3);
    for (std::size_t bit = 8 * segment.ends[0]; bit < 8 * segment.ends[1]; ++bit) {
        Bytes damaged = segment.bytes;
        damaged[bit / 8] ^= std::byte{1} << (bit % 8);
        const Found found = scan(damaged);
        EXPECT_EQ(found.sequences, (std::vector<std::uint64_t>{1, 3})) << "bit " << bit;
        EXPECT_EQ(found.report.damaged_bytes, segment.ends[1] - segment.ends[0]) << "bit " << bit;
    }
}

TEST(Frame, FramesBehindADamagedHeaderAreStillFound) {
    Segment segment = make_segment(3);
    segment.bytes[9] ^= std::byte{1};
    EXPECT_FALSE(decode_header(segment.bytes));
    EXPECT_EQ(scan(segment.bytes).sequences, (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST(Frame, InsertedGarbageIsSkippedEvenIfItLooksLikeAFrame) {
    Segment segment = make_segment(3);
    Bytes garbage(100, std::byte{0x5A});
    std::memcpy(garbage.data() + 40, &kFrameMagic, sizeof(kFrameMagic));
    segment.bytes.insert(segment.bytes.begin() + static_cast<std::ptrdiff_t>(segment.ends[1]),
                         garbage.begin(), garbage.end());
    const Found found = scan(segment.bytes);
    EXPECT_EQ(found.sequences, (std::vector<std::uint64_t>{1, 2, 3}));
    EXPECT_EQ(found.report.damaged_bytes, 100U);
}

TEST(Frame, RandomDamageNeverBreaksTheScanAndNeverInventsAFrame) {
    const Segment segment = make_segment(20);
    std::mt19937 random(5);
    for (int round = 0; round < 300; ++round) {
        Bytes damaged = segment.bytes;
        for (int hit = 0; hit < 5; ++hit) damaged[random() % damaged.size()] = std::byte(random() % 256);
        damaged.resize(random() % damaged.size());
        const Found found = scan(damaged);
        EXPECT_TRUE(std::is_sorted(found.sequences.begin(), found.sequences.end()));
    }
}

}  // namespace
}  // namespace memcap::store
