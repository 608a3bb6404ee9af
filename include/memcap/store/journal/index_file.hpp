// journal/index: what a journal comes to, so that nobody has to read all of it to go on or to ask.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/run_index.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store {

/// What a file holds, in brief.
struct FileDigest {
    std::uint64_t size_bytes = 0;
    std::uint64_t checksum = 0;  ///< XXH3-64
    bool operator==(const FileDigest&) const = default;
};
/// Zeros if the file cannot be read.
FileDigest digest_of(const std::filesystem::path& path);

/// An index as it was found, brought up to date with what the journal has grown by.
struct FoundIndex {
    RunIndex index;
    SegmentEnds ends;
    JournalReport report;          ///< of what was read of the journal; damaged bytes and lost arrays: of all
    std::uint64_t new_frames = 0;  ///< that the file does not cover
    FileDigest shown;              ///< results.h5 that shows what the file covers; zeros: none is known
};

/// The file is derived and never the record: it is used only where each segment that it covers is as it was.
/// A file of the same size that has not been changed since is taken to be; any other has to have the same
/// checksum. Where it is missing, damaged or does not fit, the whole journal is read into an index.
///
/// `check`: for a writer, which has to know whether arrays reached the disk. It is asked about arrays that
/// lay in bulk files when the index was made, and those of new frames. Nothing: for those who only look.
/// Returns nothing where that does not tell all: arrays are neither in the file nor in a bulk file (check
/// says `missing`), vectors segments have changed, a finished trial has a second result, or another run wrote
/// behind the end of a segment. Then replay() does. With `cut` as replay(). Throws StoreError like it.
std::optional<FoundIndex> read_index(const RunFolder& folder, const ArraysCheck& check, TornTails tails);

/// Replaces the file. `shown`: of the results.h5 that shows the state. Whoever calls it must be sure that
/// what the state is made of has reached the disk. Throws StoreError.
void write_index(const RunFolder& folder, const RunState& state, const FileDigest& shown);

}  // namespace memcap::store
