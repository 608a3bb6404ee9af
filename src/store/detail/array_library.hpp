// Vectors and curves of a run folder, wherever they lie: in a bulk file, or in a vectors segment.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/bulk_place.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store::detail {

/// Where an entry of a bulk file has gone in its vectors segment, in elements.
struct SegmentEntry {
    std::uint64_t vector_start = 0;
    std::uint64_t curve_start = 0;
    std::uint64_t checksum = 0;
};

/// An immutable file in vectors/ and its index.
struct ArraySegment {
    std::filesystem::path path;
    std::string run_id;  ///< of the run that made it; empty: a memcap made it that did not say
    std::uint64_t vector_total = 0;
    std::uint64_t curve_total = 0;
    std::unordered_map<std::uint64_t, SegmentEntry> entries;  ///< by the offset in the bulk file
};

/// An entry and the segment that holds it.
struct FoundArrays {
    const ArraySegment* segment;
    SegmentEntry entry;
};

/// The highest number that a segment's name in vectors/ has; 0 if there is none. Opens no file.
std::uint32_t last_segment_number(const RunFolder& folder);

class ArrayLibrary {
  public:
    /// Reads the indexes of all segments; one that cannot be read is logged and counts as gone.
    static ArrayLibrary open(const RunFolder& folder);
    ArrayLibrary(ArrayLibrary&&) noexcept;
    ArrayLibrary& operator=(ArrayLibrary&&) noexcept;
    ~ArrayLibrary();

    /// By the number of the bulk file; several of one number where segments of another run were put here.
    const std::multimap<std::uint32_t, ArraySegment>& segments() const noexcept { return segments_; }
    /// Whether this run has made a segment of that bulk file.
    bool has_own(std::uint32_t number) const;
    /// The entry in its segment; nothing if the segment or the entry is not there.
    std::optional<FoundArrays> find(const BulkPlace& place) const;
    /// Whether a place holds what its frame says: bulk files by checksum, segments by their index.
    ArraysState check(const BulkPlace& place);
    /// The same, with segments by checksum too.
    ArraysState verify(const BulkPlace& place);
    /// Fills a record's vector and curve from wherever they lie; false if they are gone or damaged.
    bool read(const BulkPlace& place, record::TrialRecord& record);
    /// The file in vectors/ that a place's arrays should be in, for messages: also one that cannot be read or
    /// is gone.
    std::string segment_name(const BulkPlace& place) const;
    /// Closes the files that were read last; HDF5 would not open them again through one that refers to them.
    void release();
    /// Turns a finished bulk file into a segment and deletes it. `live`: the places in it that results refer
    /// to, by trial. A damaged entry is left out of the index. `keep_folder` is called for each entry and
    /// before the segment gets its name. Throws Hdf5Failure, StoreError and what `keep_folder` throws, and
    /// then changes nothing.
    void publish(const Id128& run_id, std::uint32_t number,
                 const std::vector<std::pair<Id128, BulkPlace>>& live,
                 const std::function<void()>& keep_folder);

  private:
    struct Cache;
    explicit ArrayLibrary(const RunFolder& folder);
    bool read_bulk(const BulkPlace& place, record::TrialRecord& record);
    bool read_segment(const BulkPlace& place, const FoundArrays& found, record::TrialRecord& record);
    /// Reads the indexes of segments that have come since the last look: while a run is read that goes on, it
    /// may turn a bulk file into a segment. Returns whether there are any.
    bool look_again();

    RunFolder folder_;
    std::optional<Id128> run_id_;
    std::multimap<std::uint32_t, ArraySegment> segments_;
    std::filesystem::file_time_type looked_at_{};
    std::unique_ptr<Cache> cache_;  ///< the files read last
};

}  // namespace memcap::store::detail
