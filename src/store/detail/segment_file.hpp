// The file format of a vectors segment: values, curves, and an index that leads from the journal to them.
#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "memcap/base/ids.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/bulk_place.hpp"
#include "store/detail/array_library.hpp"
#include "store/detail/columns.hpp"

namespace memcap::store::detail {

/// Names of the datasets of a segment; the same hold the same quantities in results.h5.
inline constexpr const char* kVectorValues = "values";
inline constexpr const char* kCurveEvaluation = "evaluation";
inline constexpr const char* kCurveLoss = "loss_nats";
inline constexpr const char* kCurveAccuracy = "accuracy";

/// Writes vectors and curves one after another into four lines of known length; values are gathered, because
/// HDF5 takes microseconds a call.
class ArrayLines {
  public:
    ArrayLines(const Handle& vectors, const Handle& curves, std::uint64_t vector_total,
               std::uint64_t curve_total);
    void append(const record::TrialRecord& arrays);
    void flush();
    /// Elements appended so far, i.e. where the next entry starts.
    std::uint64_t vector_end() const noexcept { return vectors_.end(); }
    std::uint64_t curve_end() const noexcept { return evaluations_.end(); }

  private:
    template <class T>
    class Line {
      public:
        Line(const Handle& group, const ColumnLabel& label, std::uint64_t total, Compression compression);
        void append(const std::vector<T>& values);
        void flush();
        std::uint64_t end() const noexcept { return written_ + gathered_.size(); }

      private:
        Handle dataset_;
        std::vector<T> gathered_;
        std::uint64_t written_ = 0;
    };

    Line<float> vectors_;
    Line<std::int32_t> evaluations_;
    Line<float> losses_;
    Line<float> accuracies_;
};

/// Labels of the four lines, for files that hold them and for those that refer to them.
ColumnLabel vector_label();
ColumnLabel evaluation_label();
ColumnLabel loss_label();
ColumnLabel accuracy_label();

/// Writes a new segment under a temporary name.
class SegmentWriter {
  public:
    /// `entries`: all that may come, for the sizes.
    SegmentWriter(const std::filesystem::path& path, const Id128& run_id,
                  const std::vector<std::pair<Id128, BulkPlace>>& entries);
    SegmentWriter(const SegmentWriter&) = delete;
    SegmentWriter& operator=(const SegmentWriter&) = delete;
    /// Removes the file unless it was finished.
    ~SegmentWriter();
    void append(const Id128& trial, const BulkPlace& place, const record::TrialRecord& arrays);
    /// Writes the index and closes the file.
    ArraySegment finish();

  private:
    void write_index();

    std::filesystem::path path_;
    Handle file_;
    std::uint64_t vector_total_ = 0;
    std::uint64_t curve_total_ = 0;
    std::optional<ArrayLines> lines_;
    std::vector<Id128> trials_;
    std::vector<BulkPlace> places_;
    ArraySegment segment_;
    bool finished_ = false;
};

/// Reads a segment.
class SegmentReader {
  public:
    explicit SegmentReader(const std::filesystem::path& path);
    /// The index, with the file's path and its run.
    ArraySegment index() const;
    void read(const BulkPlace& place, const SegmentEntry& entry, record::TrialRecord& record) const;

  private:
    std::filesystem::path path_;
    Handle file_;
    Handle vectors_;
    Handle evaluations_;
    Handle losses_;
    Handle accuracies_;
};

}  // namespace memcap::store::detail
