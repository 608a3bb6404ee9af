// The write side of the journal: one segment a start, and bulk files for vectors and curves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "memcap/base/ids.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/append_file.hpp"
#include "memcap/store/journal/bulk_place.hpp"
#include "memcap/store/journal/frame.hpp"
#include "memcap/store/journal/run_folder.hpp"

namespace memcap::store {

/// Appends frames to a new segment. Whoever makes one must hold the folder's lock.
class JournalWriter {
  public:
    /// Writes to the next segment of the folder, whose file is made with the first frame; bulk files are
    /// numbered from `next_bulk` on, which no frame may have named before.
    static JournalWriter create(const RunFolder& folder, const Id128& run_id, std::uint32_t next_bulk);

    /// Each throws StoreError.
    void append(const record::RunTables& tables);
    void append(const record::LaunchRow& launch);
    /// First the arrays, then the frame that refers to them; returns where the arrays went.
    BulkPlace append(const record::TrialRecord& record);
    /// Brings arrays, then frames to the disk.
    void sync();
    /// Ends the bulk file in use, if there is one; later arrays go to a new one.
    void end_bulk_file();

    /// Of the bulk file in use; 0 if there is none.
    std::uint64_t bulk_bytes() const noexcept { return bulk_ ? bulk_->size_bytes() : 0; }
    /// Bulk files from this number on are, or may be, written to.
    std::uint32_t first_open_bulk() const noexcept { return bulk_ ? bulk_number_ : next_bulk_; }
    std::uint32_t segment() const noexcept { return segment_; }
    std::filesystem::path path() const { return folder_.log_segment(segment_); }

  private:
    JournalWriter(RunFolder folder, const Id128& run_id, std::uint32_t segment, std::uint32_t next_bulk);
    void append_frame(FrameType type, const Bytes& payload);
    BulkPlace append_arrays(const record::TrialRecord& record);

    RunFolder folder_;
    Id128 run_id_;
    std::uint32_t segment_;
    std::optional<AppendFile> frames_;
    std::uint64_t next_sequence_ = 1;
    std::optional<AppendFile> bulk_;
    std::uint32_t bulk_number_ = 0;
    std::uint32_t next_bulk_;
};

/// What the frame of a trial's result holds.
struct ResultPayload {
    record::TrialRecord record;  ///< without its arrays
    BulkPlace arrays;
};
Bytes encode(const ResultPayload& payload);
/// Throws TransportError.
ResultPayload decode_result(std::span<const std::byte> bytes);

/// The bytes of a record's vector and curve as a bulk file has them.
Bytes encode_arrays(const record::TrialRecord& record);
/// Puts an entry's bytes back into a record; returns false if size or checksum are not the place's.
bool decode_arrays(std::span<const std::byte> bytes, const BulkPlace& place, record::TrialRecord& record);

}  // namespace memcap::store
