// What every reader of the journal's files does: bytes, torn ends, and what a scan met.
#pragma once

#include <cstdint>
#include <filesystem>

#include "memcap/base/bytes.hpp"
#include "memcap/store/journal/frame.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store::detail {

/// The bytes of a segment from `from_bytes` on. Throws StoreError.
Bytes read_segment(const std::filesystem::path& path, std::uint64_t from_bytes = 0);
/// Throws StoreError if a newer memcap wrote the segment.
void expect_known_schema(const std::filesystem::path& path, const SegmentHeader& header);
/// Cuts a file behind its last whole frame; one without a whole header goes. Warns where it cannot.
void cut_tail(const std::filesystem::path& path, std::uint64_t whole_bytes);
/// What a killed process wrote may be in the machine's memory alone: it is read here, and must not be taken
/// back by a power cut once it was counted on. Warns where it cannot.
void bring_to_disk(const std::filesystem::path& path);
/// Adds what a scan met, with a note where something is wrong.
void add_scan(JournalReport& report, const std::filesystem::path& path, const ScanReport& scan);

/// When a file was last changed, as far as the file system tells; its size.
struct FileFacts {
    std::uint64_t size_bytes = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const FileFacts&) const = default;
};
/// Zeros if there is no such file.
FileFacts facts_of(const std::filesystem::path& path);

}  // namespace memcap::store::detail
