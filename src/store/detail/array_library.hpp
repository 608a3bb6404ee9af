// Vectors and curves of a run folder, wherever they lie: in a bulk file, or in a vectors segment.
#pragma once

#include <cstdint>
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

/// An immutable file vectors/<nnnn>.h5 and its index.
struct ArraySegment {
    std::uint64_t vector_total = 0;
    std::uint64_t curve_total = 0;
    std::unordered_map<std::uint64_t, SegmentEntry> entries;  ///< by the offset in the bulk file
};

class ArrayLibrary {
  public:
    /// Reads the indexes of all segments; one that cannot be read is logged and counts as gone.
    static ArrayLibrary open(const RunFolder& folder);
    ArrayLibrary(ArrayLibrary&&) noexcept;
    ArrayLibrary& operator=(ArrayLibrary&&) noexcept;
    ~ArrayLibrary();

    const std::map<std::uint32_t, ArraySegment>& segments() const noexcept { return segments_; }
    /// The entry in its segment; nothing if the segment or the entry is not there.
    std::optional<SegmentEntry> find(const BulkPlace& place) const;
    /// Whether a place holds what its frame says: bulk files by checksum, segments by their index.
    ArraysState check(const BulkPlace& place);
    /// The same, with segments by checksum too.
    ArraysState verify(const BulkPlace& place);
    /// Fills a record's vector and curve from wherever they lie; false if they are gone or damaged.
    bool read(const BulkPlace& place, record::TrialRecord& record);
    /// Turns a finished bulk file into a segment and deletes it. `live`: the places in it that results refer
    /// to, by trial. A damaged entry is left out of the index. Throws Hdf5Failure or StoreError, and then
    /// changes nothing.
    void publish(std::uint32_t number, const std::vector<std::pair<Id128, BulkPlace>>& live);

  private:
    struct Cache;
    explicit ArrayLibrary(const RunFolder& folder);
    bool read_bulk(const BulkPlace& place, record::TrialRecord& record);
    bool read_segment(const BulkPlace& place, const SegmentEntry& entry, record::TrialRecord& record);

    RunFolder folder_;
    std::map<std::uint32_t, ArraySegment> segments_;
    std::unique_ptr<Cache> cache_;  ///< the files read last
};

}  // namespace memcap::store::detail
