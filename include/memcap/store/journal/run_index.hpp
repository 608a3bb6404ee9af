// What a run must know of its trials to go on, and `status` to speak of it: a few bytes a trial.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "memcap/base/axes.hpp"
#include "memcap/base/ids.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/bulk_place.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store {

/// A trial that is planned or on record. As it lies in the file.
struct IndexedTrial {
    static constexpr std::uint32_t kNoRow = 0xFFFFFFFF;

    Id128 trial;
    std::uint32_t row = kNoRow;    ///< its first one in the last plan
    std::uint32_t finished_s = 0;  ///< since 1970
    std::int32_t attempts = 0;     ///< the highest attempt number on record
    bool on_record = false;
    record::TrialStatus status = record::TrialStatus::done;
    record::FailureCategory category = record::FailureCategory::permanent;  ///< meaningful only if it failed
    ArraysState arrays = ArraysState::whole;

    bool planned() const { return row != kNoRow; }
    bool done() const { return on_record && status == record::TrialStatus::done; }
    /// As StoredRecord has it.
    bool final() const { return done() && arrays != ArraysState::never_acknowledged; }
    bool failed() const { return on_record && status == record::TrialStatus::failed; }
    bool failed_for_good() const { return failed() && category == record::FailureCategory::permanent; }
};
static_assert(sizeof(IndexedTrial) == 32);

/// Of a failed trial.
struct IndexedFailure {
    std::string message;
    std::optional<Axes> axes;  ///< of its row in the last plan; nothing: read_plans() knows
};

/// What the tables of a journal come to.
struct IndexedPlan {
    std::string experiment;
    std::optional<Id128> hash;  ///< plan_hash() of the last one
    std::uint64_t skipped = 0;
    bool has_earlier_rows = false;  ///< whether rows of earlier plans stay beside it
    std::uint64_t launches = 0;
    std::uint32_t launch_segment = 0;  ///< of the last one
    std::string started_utc;           ///< of the last launch
    std::string ended_utc;             ///< of the last launch; empty until it has ended
};

/// The few bytes a trial that RunState boils down to; goes on with frames as RunState does.
class RunIndex {
  public:
    RunIndex() = default;
    explicit RunIndex(const RunState& state);

    const IndexedPlan& plan() const noexcept { return plan_; }
    const std::vector<IndexedTrial>& trials() const noexcept { return trials_; }
    const IndexedTrial* find(const Id128& trial) const;
    const IndexedFailure& failure(const Id128& trial) const { return failures_.at(trial); }
    /// How many processes have died with a trial, in all launches.
    std::uint32_t crashes(const Id128& trial) const;
    /// The highest number of a bulk file that any frame names.
    std::uint32_t last_bulk() const noexcept { return last_bulk_; }
    const Id128& run_id() const noexcept { return run_id_; }
    const JournalView& view() const noexcept { return view_; }
    std::uint64_t damaged_bytes() const noexcept { return damaged_bytes_; }

    void set_run_id(const Id128& run_id) { run_id_ = run_id; }
    void add_damage(std::uint64_t bytes) { damaged_bytes_ += bytes; }
    /// `place`: for read_plans(); nothing while the journal is being written.
    void add_plan(std::uint32_t segment, const record::RunTables& tables,
                  const std::optional<FramePlace>& place = {});
    void add_launch(std::uint32_t segment, const record::LaunchRow& launch);
    void add_crash(const Id128& trial) { ++crashes_[trial]; }
    /// Returns false if it is a duplicate of a final record, which stays.
    bool add_result(const record::TrialRecord& record, const BulkPlace& arrays, ArraysState state);

    /// Looks again at arrays that lay in bulk files when the index was made; false if one is `missing`, so
    /// that only the vectors segments can tell.
    bool check_young(const ArraysCheck& check);
    /// Forgets arrays of which the bulk file does not exist: they lie in segments.
    void settle(const std::function<bool(std::uint32_t)>& has_bulk);

    /// As the index file has it, without what names the files that it is made of.
    Bytes encode() const;
    /// Throws TransportError.
    static RunIndex decode(std::span<const std::byte> bytes);

  private:
    IndexedTrial& trial_at(const Id128& trial);
    void note_failure(const record::TrialRecord& record);

    Id128 run_id_;
    IndexedPlan plan_;
    std::vector<IndexedTrial> trials_;  ///< the first `sorted_` in order of their ids
    std::size_t sorted_ = 0;
    std::unordered_map<Id128, std::size_t> unsorted_;  ///< places of the others
    std::unordered_map<Id128, BulkPlace> young_;       ///< arrays in bulk files
    std::unordered_map<Id128, IndexedFailure> failures_;
    std::unordered_map<Id128, std::uint32_t> crashes_;
    std::uint32_t last_bulk_ = 0;
    std::uint64_t damaged_bytes_ = 0;
    JournalView view_;
};

/// The plans of a journal without its records, from where an index has found them. One that cannot be read is
/// left out. Throws StoreError.
RunState read_plans(const RunFolder& folder, const RunIndex& index);

}  // namespace memcap::store
