// Where the segments of a journal end: what a start puts on record of those before it.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "memcap/base/bytes.hpp"
#include "memcap/store/journal/frame.hpp"
#include "memcap/store/journal/run_folder.hpp"

namespace memcap::store {

struct SegmentEnd {
    std::uint64_t size_bytes = 0;
    bool on_record = false;  ///< whether a later segment says so already
};
/// By the number of the segment.
using SegmentEnds = std::map<std::uint32_t, SegmentEnd>;

/// The payload of a frame of the type `ends`; only what is not on record yet.
Bytes encode(const SegmentEnds& ends);
/// Throws TransportError. All are on record.
SegmentEnds decode_ends(std::span<const std::byte> bytes);

/// What the segments of a folder say of those before them. A writer that was asleep while another took the
/// folder over may append to its segment afterwards. What lies behind the end that the other found stands
/// behind everything else: it can add a result that nobody else has, and changes nothing that the other has
/// said. A segment of size 0 was not there at all.
SegmentEnds read_ends(const RunFolder& folder);

}  // namespace memcap::store
