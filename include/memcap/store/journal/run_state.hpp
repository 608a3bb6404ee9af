// What a run has on record: the journal, replayed.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/bulk_place.hpp"
#include "memcap/store/journal/frame.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/segment_ends.hpp"

namespace memcap::store {

/// What became of a record's arrays.
enum class ArraysState : std::uint8_t {
    whole,
    /// Not as the journal says: the machine died before they were synced, so nobody was told of this result.
    never_acknowledged,
    /// Were there, and are gone: somebody removed or damaged the vectors segment. The numbers still stand.
    missing,
};
using ArraysCheck = std::function<ArraysState(const BulkPlace&)>;

/// A trial's record as the run keeps it in memory.
struct StoredRecord {
    record::TrialRecord record;  ///< its arrays are empty
    BulkPlace arrays;
    ArraysState arrays_state = ArraysState::whole;
    std::int32_t attempts = 0;  ///< the highest attempt number on record

    /// A finished trial that nothing can replace.
    bool final() const {
        return record.status == record::TrialStatus::done && arrays_state != ArraysState::never_acknowledged;
    }
    /// A trial that failed and that no start tries again by itself.
    bool failed_for_good() const {
        return record.status == record::TrialStatus::failed &&
               record.failure.category == record::FailureCategory::permanent;
    }
};

/// What a replay met.
struct JournalReport {
    std::uint64_t segments = 0;
    std::uint64_t frames = 0;
    std::uint64_t results = 0;  ///< frames that hold a trial's record
    std::uint64_t damaged_bytes = 0;
    std::uint64_t torn_bytes = 0;
    std::uint64_t late_bytes = 0;         ///< written by a run after another had taken the folder over
    std::uint64_t unreadable_frames = 0;  ///< whole, but of an unknown kind or layout
    std::uint64_t duplicates = 0;         ///< results beyond a trial's first final one
    std::uint64_t unacknowledged = 0;  ///< finished, but their arrays did not reach the disk: they run again
    std::uint64_t missing_arrays = 0;  ///< finished, and their vectors segment is gone or damaged
    std::uint64_t near = 0;            ///< duplicates that differ by rounding
    double largest_near_difference = 0;  ///< relative, of their losses
    std::vector<std::string> conflicts;  ///< duplicates whose numbers differ by more
    std::vector<std::string> notes;      ///< a sentence for each damaged file
};

/// A frame's payload in a segment.
struct FramePlace {
    std::uint32_t segment = 0;
    std::uint64_t offset_bytes = 0;
    std::uint64_t size_bytes = 0;
};

/// How a segment looked when it was read.
struct SegmentView {
    std::uint32_t number = 0;
    std::uint64_t covered_bytes = 0;         ///< from its beginning; all of the file but for the last one
    std::int64_t changed_ns = 0;             ///< of a file of that size: when it was last changed; else 0
    std::uint64_t checksum = 0;              ///< XXH3-64 of the covered bytes
    std::optional<std::uint64_t> end_bytes;  ///< that a later segment has put on record
};

/// What of the journal a state is made of.
struct JournalView {
    std::vector<SegmentView> segments;
    std::vector<FramePlace> plans;  ///< record::RunTables, in order
};

/// How far a journal is read: to a size of one segment.
struct JournalEnd {
    std::uint32_t segment = std::numeric_limits<std::uint32_t>::max();
    std::uint64_t size_bytes = std::numeric_limits<std::uint64_t>::max();
};

/// A row of results: a planned row and the record that answers it.
struct ResultRow {
    const record::PlannedRow* planned;
    const StoredRecord* stored;
};

/// How far a plan is, in distinct trials.
struct PlanProgress {
    std::uint64_t planned = 0;
    std::uint64_t done = 0;
    std::uint64_t failed = 0;  ///< for good

    std::uint64_t open() const { return planned - done - failed; }
};

/// The state that the frames of a journal add up to. The first final record of a trial wins; until there is
/// one, the latest failure stands.
class RunState {
  public:
    void add_tables(std::uint32_t segment, record::RunTables tables);
    /// Whether the last plan says the same, launches and date aside.
    bool is_current_plan(const record::RunTables& tables) const;
    const std::optional<Id128>& plan_hash() const noexcept { return plan_hash_; }
    void add_launch(std::uint32_t segment, const record::LaunchRow& launch);
    /// A process died with this trial.
    void add_crash(const Id128& trial) { ++crashes_[trial]; }
    /// Returns false if it is a duplicate of a final record, which stays.
    bool add_result(record::TrialRecord record, const BulkPlace& arrays, ArraysState arrays_state);

    void set_run_id(const Id128& run_id) { run_id_ = run_id; }
    const Id128& run_id() const noexcept { return run_id_; }
    /// The last plan; behind its rows those of earlier plans whose names still mean the same. All launches.
    const record::RunTables& tables() const noexcept { return tables_; }
    /// How many rows of tables() belong to the last plan.
    std::size_t planned_rows() const noexcept { return planned_rows_; }
    const std::unordered_map<Id128, StoredRecord>& records() const noexcept { return records_; }
    std::unordered_map<Id128, StoredRecord>& records() noexcept { return records_; }
    const StoredRecord* find(const Id128& trial) const;
    /// How many processes have died with a trial, in all launches.
    std::uint32_t crashes(const Id128& trial) const {
        const auto found = crashes_.find(trial);
        return found == crashes_.end() ? 0 : found->second;
    }
    const std::unordered_map<Id128, std::uint32_t>& all_crashes() const noexcept { return crashes_; }
    /// Of the last launch; 0 if there is none.
    std::uint32_t launch_segment() const { return launch_segments_.empty() ? 0 : launch_segments_.back(); }
    /// Planned rows that have a record, in planned order.
    std::vector<ResultRow> rows() const;
    /// How far the last plan is.
    PlanProgress progress() const;
    /// Rows of the last plan whose trial has neither a result nor failed for good.
    std::vector<const record::PlannedRow*> open_rows() const;
    /// Why trials with a record have no row any more, and how many: their names mean something else now. The
    /// records stay, and have rows again under a plan that asks for them.
    std::map<std::string, std::uint64_t> dropped() const;
    /// The same for records that are kept elsewhere.
    std::map<std::string, std::uint64_t> dropped(const std::function<bool(const Id128&)>& has_record) const;
    /// How many trials with a record have rows by earlier plans alone.
    std::uint64_t earlier_trials(const std::function<bool(const Id128&)>& has_record) const;
    /// The highest number of a bulk file that any frame names.
    std::uint32_t last_bulk() const noexcept { return last_bulk_; }

    /// Where the segments that were replayed end.
    const SegmentEnds& segment_ends() const noexcept { return segment_ends_; }
    SegmentEnds& segment_ends() noexcept { return segment_ends_; }

    const JournalView& view() const noexcept { return view_; }
    JournalView& view() noexcept { return view_; }

    const JournalReport& report() const noexcept { return report_; }
    JournalReport& report() noexcept { return report_; }

  private:
    void count_duplicate(const record::TrialRecord& former, const record::TrialRecord& record);

    Id128 run_id_;
    record::RunTables tables_;
    std::size_t planned_rows_ = 0;
    std::optional<Id128> plan_hash_;
    std::unordered_map<Id128, std::string>
        dropped_;                                 ///< trials whose rows went with an earlier plan, and why
    std::vector<std::uint32_t> launch_segments_;  ///< beside tables_.launches
    std::unordered_map<Id128, std::uint32_t> crashes_;
    std::unordered_map<Id128, StoredRecord> records_;
    std::uint32_t last_bulk_ = 0;
    SegmentEnds segment_ends_;
    JournalView view_;
    JournalReport report_;
};

/// Whether two rows of one name, in two plans, stand for the same thing; where a file lies is no part of
/// that.
bool same_meaning(const record::ModelRow& a, const record::ModelRow& b);
bool same_meaning(const record::CorpusRow& a, const record::CorpusRow& b);
bool same_meaning(const record::ProtocolRow& a, const record::ProtocolRow& b);

enum class TornTails : std::uint8_t { keep, cut };

/// Replays the journal of a folder. With `cut`, torn tails are cut off and what was found is brought to the
/// disk (only the holder of the lock may do that). Throws StoreError if a segment cannot be read or was
/// written by a newer memcap.
RunState replay(const RunFolder& folder, const ArraysCheck& check, TornTails tails,
                const JournalEnd& until = {});

/// For a journal that does not say which run it is of.
Id128 new_run_id(const RunFolder& folder);

/// The run that a folder's journal belongs to; nothing if there is no journal yet, or its head is damaged.
std::optional<Id128> read_run_id(const RunFolder& folder);

/// Checks arrays against the bulk files alone; what is in none of them is `elsewhere`.
ArraysCheck bulk_files_check(const RunFolder& folder, ArraysState elsewhere = ArraysState::whole);

/// What killed processes left of bulk files, and of segments whose end is not on record, must not be taken
/// back by a power cut once it was counted on.
void bring_journal_to_disk(const RunFolder& folder, const SegmentEnds& ends);

/// Where the payload of a frame lies that was found in these bytes of a segment, which begin with its first.
FramePlace place_of(std::uint32_t segment, std::span<const std::byte> bytes, const Frame& frame);

/// Of all that a plan says, launches and date aside.
Id128 plan_hash(const record::RunTables& tables);

/// Numbers of the files <nnnn><extension> in a folder, ascending.
std::vector<std::uint32_t> numbered_files(const std::filesystem::path& folder, const std::string& extension);

}  // namespace memcap::store
