// Ends of segments in the first frame of a later one.
#include "memcap/store/journal/segment_ends.hpp"

#include <algorithm>
#include <fstream>
#include <optional>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store {

namespace {

constexpr std::size_t kEntryBytes = 12;

/// What a segment begins with.
struct SegmentHead {
    std::optional<SegmentHeader> header;
    SegmentEnds ends;
};

/// Reads no more of a segment than its header and its first frame, if that one tells of ends.
SegmentHead read_head(const std::filesystem::path& path) {
    SegmentHead head;
    std::ifstream file(path, std::ios::binary);
    Bytes bytes(kSegmentHeaderBytes + kFrameHeaderBytes);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<std::size_t>(file.gcount()));
    head.header = decode_header(bytes);
    if (!head.header || bytes.size() < kSegmentHeaderBytes + kFrameHeaderBytes) return head;
    const std::span<const std::byte> all = bytes;
    ByteReader reader(all.subspan(kSegmentHeaderBytes));
    reader.number<std::uint32_t>();
    const auto type = reader.number<FrameType>();
    const auto length = reader.number<std::uint64_t>();
    // A damaged length must not make this read a whole segment.
    constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 24;
    if (type != FrameType::ends || length > kMostBytes) return head;
    const std::size_t before = bytes.size();
    bytes.resize(before + length);
    file.read(reinterpret_cast<char*>(bytes.data() + before), static_cast<std::streamsize>(length));
    bytes.resize(before + static_cast<std::size_t>(file.gcount()));
    scan_segment(bytes, [&head](const Frame& frame) {
        if (frame.type != FrameType::ends) return;
        try {
            head.ends = decode_ends(frame.payload);
        } catch (const TransportError&) {
            // The replay counts it among the frames that cannot be read.
        }
    });
    return head;
}

}  // namespace

Bytes encode(const SegmentEnds& ends) {
    ByteWriter writer;
    for (const auto& [number, end] : ends) {
        if (end.on_record) continue;
        writer.number(number);
        writer.number(end.size_bytes);
    }
    return std::move(writer).bytes();
}

SegmentEnds decode_ends(std::span<const std::byte> bytes) {
    SegmentEnds ends;
    ByteReader reader(bytes);
    for (std::size_t entry = 0; entry < bytes.size() / kEntryBytes; ++entry) {
        const auto number = reader.number<std::uint32_t>();
        ends[number] = {.size_bytes = reader.number<std::uint64_t>(), .on_record = true};
    }
    reader.expect_end();
    return ends;
}

SegmentEnds read_ends(const RunFolder& folder) {
    const auto numbers = numbered_files(folder.journal(), ".log");
    std::map<std::uint32_t, SegmentHead> heads;
    for (const std::uint32_t number : numbers) heads[number] = read_head(folder.log_segment(number));
    SegmentEnds ends;
    // From the last one down: a segment that does not count has no say in others.
    for (auto head = heads.rbegin(); head != heads.rend(); ++head) {
        if (const auto own = ends.find(head->first); own != ends.end() && own->second.size_bytes == 0)
            continue;
        for (const auto& [number, end] : head->second.ends) {
            const auto named = heads.find(number);
            if (named == heads.end() || number >= head->first) continue;
            // Somebody may have put another run's segment under this number.
            const auto& header = named->second.header;
            const bool same_run = header && header->run_id == head->second.header->run_id;
            if (same_run || end.size_bytes == 0) ends[number] = end;
        }
    }
    return ends;
}

}  // namespace memcap::store
