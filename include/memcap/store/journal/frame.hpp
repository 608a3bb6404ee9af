// The frame, the unit of the journal: a checksummed message that is either whole or not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "memcap/base/bytes.hpp"
#include "memcap/base/ids.hpp"

namespace memcap::store {

inline constexpr std::uint32_t kJournalSchemaVersion = 1;

enum class FrameType : std::uint32_t {
    tables = 1,      ///< record::RunTables: what is planned; the last one says what the run is now
    launch = 2,      ///< record::LaunchRow of this segment's launch; the last one counts
    result = 3,      ///< a trial's record without its arrays, and where those lie
    ends = 4,        ///< SegmentEnds of the segments before this one; the first frame, if there are any
    crash = 6,       ///< CrashPayload: a process died with a trial
    attempts = 7,    ///< AttemptsPayload: how attempts began, or ended without a result; decides nothing
    checkpoint = 5,  ///< in files of checkpoints alone: a trial's id, and the state that it goes on from
};

/// Layout on disk: magic u32, type u32, payload length u64, sequence u64, XXH3-64 of the 24 bytes before it
/// and the payload, payload.
inline constexpr std::uint32_t kFrameMagic = 0xF7A3ED4Du;
inline constexpr std::size_t kFrameHeaderBytes = 32;
/// A segment begins with: magic u64, schema version u32, segment number u32, run id, XXH3-64 of all that.
inline constexpr std::uint64_t kSegmentMagic = 0x314C4E4A50434D4DuLL;
inline constexpr std::size_t kSegmentHeaderBytes = 40;

struct SegmentHeader {
    std::uint32_t schema_version = kJournalSchemaVersion;
    std::uint32_t number = 0;
    Id128 run_id;
};

struct Frame {
    FrameType type = FrameType::result;
    std::uint64_t sequence = 0;
    std::span<const std::byte> payload;  ///< borrowed from the bytes that were scanned
};

Bytes encode_header(const SegmentHeader& header);
/// The header that a segment's bytes begin with; nothing if it is cut or damaged.
std::optional<SegmentHeader> decode_header(std::span<const std::byte> bytes);
/// What stands before the payload.
Bytes encode_frame_header(const Frame& frame);
Bytes encode_frame(const Frame& frame);

/// What a scan of a segment's bytes met.
struct ScanReport {
    std::uint64_t frames = 0;
    std::uint64_t last_sequence = 0;  ///< of the last frame, if there is one
    std::uint64_t whole_bytes = 0;    ///< up to the end of the last whole frame
    std::uint64_t damaged_bytes =
        0;  ///< skipped between whole frames, or at the end where no frame was cut short
    std::uint64_t torn_bytes = 0;  ///< at the end: a frame that was not written to its end, or zeros
};

/// Calls `visit` for each whole frame of a segment, in order, past damaged stretches. Never throws on any
/// bytes.
ScanReport scan_segment(std::span<const std::byte> bytes, const std::function<void(const Frame&)>& visit);
/// The same for what follows the end of some whole frame, or a segment's header.
ScanReport scan_frames(std::span<const std::byte> bytes, const std::function<void(const Frame&)>& visit);

}  // namespace memcap::store
