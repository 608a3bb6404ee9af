// Encoding of frames, and the scan that finds the whole ones among damaged bytes.
#include "memcap/store/journal/frame.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "memcap/base/hash.hpp"

namespace memcap::store {

namespace {

template <class T>
T number_at(std::span<const std::byte> bytes, std::size_t offset) {
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

/// Over the 24 bytes of the header and the payload's own hash, so that no byte of a frame is unchecked.
std::uint64_t frame_checksum(std::span<const std::byte, 24> header, std::span<const std::byte> payload) {
    std::array<std::byte, 32> both;
    std::copy(header.begin(), header.end(), both.begin());
    const std::uint64_t payload_hash = hash64(payload);
    std::memcpy(both.data() + header.size(), &payload_hash, sizeof(payload_hash));
    return hash64(both);
}

/// Bytes of the whole frame at the beginning of `bytes`; 0 if there is none.
std::size_t whole_frame(std::span<const std::byte> bytes) {
    if (bytes.size() < kFrameHeaderBytes || number_at<std::uint32_t>(bytes, 0) != kFrameMagic) return 0;
    const auto length = number_at<std::uint64_t>(bytes, 8);
    if (length > bytes.size() - kFrameHeaderBytes) return 0;
    const auto payload = bytes.subspan(kFrameHeaderBytes, length);
    if (number_at<std::uint64_t>(bytes, 24) != frame_checksum(bytes.first<24>(), payload)) return 0;
    return kFrameHeaderBytes + length;
}

/// Where the next whole frame begins; the end of the bytes if there is none.
std::size_t next_whole_frame(std::span<const std::byte> bytes, std::size_t from) {
    std::array<std::byte, sizeof(kFrameMagic)> magic;
    std::memcpy(magic.data(), &kFrameMagic, sizeof(kFrameMagic));
    auto at = bytes.begin() + static_cast<std::ptrdiff_t>(from);
    while ((at = std::search(at, bytes.end(), magic.begin(), magic.end())) != bytes.end()) {
        const auto offset = static_cast<std::size_t>(at - bytes.begin());
        if (whole_frame(bytes.subspan(offset)) > 0) return offset;
        ++at;
    }
    return bytes.size();
}

/// Whether a tail without a whole frame is what an interrupted write leaves.
bool is_torn(std::span<const std::byte> tail) {
    if (std::all_of(tail.begin(), tail.end(), [](std::byte value) { return value == std::byte{0}; }))
        return true;
    const std::size_t known = std::min(tail.size(), sizeof(kFrameMagic));
    if (std::memcmp(tail.data(), &kFrameMagic, known) != 0) return false;
    if (tail.size() < kFrameHeaderBytes) return true;
    return number_at<std::uint64_t>(tail, 8) > tail.size() - kFrameHeaderBytes;
}

}  // namespace

Bytes encode_header(const SegmentHeader& header) {
    ByteWriter writer;
    writer.number(kSegmentMagic);
    writer.number(header.schema_version);
    writer.number(header.number);
    writer.id(header.run_id);
    writer.number(hash64(writer.bytes()));
    return std::move(writer).bytes();
}

std::optional<SegmentHeader> decode_header(std::span<const std::byte> bytes) {
    if (bytes.size() < kSegmentHeaderBytes || number_at<std::uint64_t>(bytes, 0) != kSegmentMagic)
        return std::nullopt;
    if (number_at<std::uint64_t>(bytes, 32) != hash64(bytes.first(32))) return std::nullopt;
    return SegmentHeader{
        .schema_version = number_at<std::uint32_t>(bytes, 8),
        .number = number_at<std::uint32_t>(bytes, 12),
        .run_id = {number_at<std::uint64_t>(bytes, 16), number_at<std::uint64_t>(bytes, 24)}};
}

Bytes encode_frame_header(const Frame& frame) {
    ByteWriter writer;
    writer.number(kFrameMagic);
    writer.number(frame.type);
    writer.number(static_cast<std::uint64_t>(frame.payload.size()));
    writer.number(frame.sequence);
    writer.number(frame_checksum(std::span(writer.bytes()).first<24>(), frame.payload));
    return std::move(writer).bytes();
}

Bytes encode_frame(const Frame& frame) {
    ByteWriter writer;
    writer.raw(encode_frame_header(frame));
    writer.raw(frame.payload);
    return std::move(writer).bytes();
}

ScanReport scan_segment(std::span<const std::byte> bytes, const std::function<void(const Frame&)>& visit) {
    if (bytes.size() < kSegmentHeaderBytes) {
        ScanReport report;
        report.torn_bytes = bytes.size();
        return report;
    }
    const std::size_t head_bytes = decode_header(bytes) ? kSegmentHeaderBytes : 0;
    ScanReport report = scan_frames(bytes.subspan(head_bytes), visit);
    report.whole_bytes += head_bytes;
    return report;
}

ScanReport scan_frames(std::span<const std::byte> bytes, const std::function<void(const Frame&)>& visit) {
    ScanReport report;
    std::size_t at = 0;
    while (at < bytes.size()) {
        if (const std::size_t size = whole_frame(bytes.subspan(at)); size > 0) {
            const auto frame = bytes.subspan(at, size);
            report.last_sequence = number_at<std::uint64_t>(frame, 16);
            ++report.frames;
            at += size;
            report.whole_bytes = at;
            visit({.type = number_at<FrameType>(frame, 4),
                   .sequence = report.last_sequence,
                   .payload = frame.subspan(kFrameHeaderBytes)});
            continue;
        }
        const std::size_t next = next_whole_frame(bytes, at + 1);
        const bool torn = next == bytes.size() && is_torn(bytes.subspan(at));
        (torn ? report.torn_bytes : report.damaged_bytes) += next - at;
        at = next;
    }
    return report;
}

}  // namespace memcap::store
