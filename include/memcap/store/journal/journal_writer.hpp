// The write side of the journal: one segment a start, and bulk files for vectors and curves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "memcap/base/ids.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/append_file.hpp"
#include "memcap/store/journal/attempts.hpp"
#include "memcap/store/journal/bulk_place.hpp"
#include "memcap/store/journal/frame.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/segment_ends.hpp"

namespace memcap::store {

/// What a journal's writer goes on from.
struct JournalStart {
    std::uint32_t next_bulk = 1;  ///< number of its first bulk file, which no frame may have named before
    /// Where the segments end that were replayed, to be put on record. Nothing: nobody has looked.
    std::optional<SegmentEnds> ends{};
    /// Called before a file is made; throws if the folder is not this process's any more.
    std::function<void()> before_new_file{};
};

/// Appends frames to a new segment. Whoever makes one must hold the folder's lock.
class JournalWriter {
  public:
    /// Writes to the next segment of the folder, whose file is made with the first frame.
    static JournalWriter create(const RunFolder& folder, const Id128& run_id, JournalStart start);

    /// Each throws StoreError.
    void append(const record::RunTables& tables);
    void append(const record::LaunchRow& launch);
    /// A process that computed this trial, maybe beside others, died.
    void append_crash(const Id128& trial, const std::string& reason);
    void append(const AttemptsPayload& attempts);
    /// First the arrays, then the frame that refers to them; returns where the arrays went.
    BulkPlace append(const record::TrialRecord& record);
    /// Brings arrays, then frames to the disk.
    void sync();
    /// Ends the bulk file in use, if there is one; later arrays go to a new one.
    void end_bulk_file();

    /// Of the bulk file in use; 0 if there is none.
    std::uint64_t bulk_bytes() const noexcept { return bulk_ ? bulk_->size_bytes() : 0; }
    /// Bulk files from this number on are, or may be, written to.
    std::uint32_t first_open_bulk() const noexcept { return bulk_ ? bulk_number_ : start_.next_bulk; }
    std::uint32_t segment() const noexcept { return segment_; }
    /// How far the journal goes; to be called after sync(): then all of it is on the disk.
    JournalEnd end() const {
        return {.segment = segment_, .size_bytes = frames_ ? frames_->size_bytes() : 0};
    }
    std::filesystem::path path() const { return folder_.log_segment(segment_); }

  private:
    JournalWriter(RunFolder folder, const Id128& run_id, std::uint32_t segment, JournalStart start);
    void begin_segment();
    AppendFile new_file(std::uint32_t& number, std::filesystem::path (RunFolder::*name)(std::uint32_t) const);
    void append_frame(FrameType type, const Bytes& payload);
    BulkPlace append_arrays(const record::TrialRecord& record);

    RunFolder folder_;
    Id128 run_id_;
    std::uint32_t segment_;
    std::optional<AppendFile> frames_;
    std::uint64_t next_sequence_ = 1;
    std::optional<AppendFile> bulk_;
    std::uint32_t bulk_number_ = 0;
    JournalStart start_;
};

/// What the frame of a trial's result holds.
struct ResultPayload {
    record::TrialRecord record;  ///< without its arrays
    BulkPlace arrays;
};
Bytes encode(const ResultPayload& payload);
/// Throws TransportError.
ResultPayload decode_result(std::span<const std::byte> bytes);

/// What the frame of a crash holds.
struct CrashPayload {
    Id128 trial;
    std::string reason;
};
Bytes encode(const CrashPayload& payload);
/// Throws TransportError.
CrashPayload decode_crash(std::span<const std::byte> bytes);

/// The bytes of a record's vector and curve as a bulk file has them.
Bytes encode_arrays(const record::TrialRecord& record);
/// Puts an entry's bytes back into a record; returns false if size or checksum are not the place's.
bool decode_arrays(std::span<const std::byte> bytes, const BulkPlace& place, record::TrialRecord& record);

}  // namespace memcap::store
