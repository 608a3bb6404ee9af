// Writing and reading vectors segments.
#include "store/detail/segment_file.hpp"

#include <system_error>

namespace memcap::store::detail {

namespace {

constexpr std::int32_t kSegmentSchemaVersion = 1;
constexpr const char* kRunId = "run_id";
constexpr std::size_t kGatheredElements = 1 << 20;

std::string index_name(const char* column) {
    return std::string("index/") + column;
}

}  // namespace

ColumnLabel vector_label() {
    return {kVectorValues, "memory vectors [K, E] at best_evaluation, row-major, one after another", ""};
}
ColumnLabel evaluation_label() {
    return {kCurveEvaluation, "evaluation (forward pass) from 1", ""};
}
ColumnLabel loss_label() {
    return {kCurveLoss, "mean cross-entropy of the scored tokens at that evaluation", "nats"};
}
ColumnLabel accuracy_label() {
    return {kCurveAccuracy, "share of scored tokens that are right at that evaluation", ""};
}

template <class T>
ArrayLines::Line<T>::Line(const Handle& group, const ColumnLabel& label, std::uint64_t total,
                          Compression compression)
    : dataset_(create_line(group, label, memory_type<T>(), total, compression)) {}

template <class T>
void ArrayLines::Line<T>::append(const std::vector<T>& values) {
    gathered_.insert(gathered_.end(), values.begin(), values.end());
    if (gathered_.size() >= kGatheredElements) flush();
}

template <class T>
void ArrayLines::Line<T>::flush() {
    write_stretch<T>(dataset_, written_, gathered_);
    written_ += gathered_.size();
    gathered_.clear();
}

// Optimised float32 vectors hardly compress, so they lie plain and can be read at the speed of the disk.
ArrayLines::ArrayLines(const Handle& vectors, const Handle& curves, std::uint64_t vector_total,
                       std::uint64_t curve_total)
    : vectors_(vectors, vector_label(), vector_total, Compression::none),
      evaluations_(curves, evaluation_label(), curve_total, Compression::shuffle_gzip),
      losses_(curves, loss_label(), curve_total, Compression::shuffle_gzip),
      accuracies_(curves, accuracy_label(), curve_total, Compression::shuffle_gzip) {}

void ArrayLines::append(const record::TrialRecord& arrays) {
    vectors_.append(arrays.vector);
    evaluations_.append(arrays.curve.evaluation);
    losses_.append(arrays.curve.loss_nats);
    accuracies_.append(arrays.curve.accuracy);
}

void ArrayLines::flush() {
    vectors_.flush();
    evaluations_.flush();
    losses_.flush();
    accuracies_.flush();
}

namespace {

constexpr std::uint64_t kOverheadBytes = 1 << 20;  // of HDF5's own structures

/// Bytes that the arrays of these entries take at most.
std::uint64_t size_bound_bytes(const std::vector<std::pair<Id128, BulkPlace>>& entries) {
    constexpr std::uint64_t kPointBytes = 12;  // evaluation, loss and accuracy
    constexpr std::uint64_t kEntryBytes = 64;
    std::uint64_t size_bytes = kOverheadBytes + kEntryBytes * entries.size();
    for (const auto& [trial, place] : entries) {
        size_bytes += sizeof(float) * place.vector_count + kPointBytes * place.curve_count;
    }
    return size_bytes;
}

Handle create_with_space(const std::filesystem::path& path,
                         const std::vector<std::pair<Id128, BulkPlace>>& entries) {
    require_space(path, size_bound_bytes(entries));
    return create_file(path);
}

}  // namespace

SegmentWriter::SegmentWriter(const std::filesystem::path& path, const Id128& run_id,
                             const std::vector<std::pair<Id128, BulkPlace>>& entries)
    : path_(path), file_(create_with_space(path, entries)) {
    for (const auto& [trial, place] : entries) {
        vector_total_ += place.vector_count;
        curve_total_ += place.curve_count;
    }
    write_attribute(file_, "schema_version", kSegmentSchemaVersion);
    segment_.run_id = run_id.hex();
    write_attribute(file_, kRunId, segment_.run_id);
    write_attribute(file_, "title", "memcap vectors segment: part of the results.h5 of its run folder");
    lines_.emplace(file_, file_, vector_total_, curve_total_);
}

SegmentWriter::~SegmentWriter() {
    if (finished_) return;
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
}

void SegmentWriter::append(const Id128& trial, const BulkPlace& place, const record::TrialRecord& arrays) {
    trials_.push_back(trial);
    places_.push_back(place);
    segment_.entries[place.offset_bytes] = {
        .vector_start = lines_->vector_end(), .curve_start = lines_->curve_end(), .checksum = place.checksum};
    lines_->append(arrays);
}

ArraySegment SegmentWriter::finish() {
    lines_->flush();
    lines_.reset();
    write_index();
    segment_.vector_total = vector_total_;
    segment_.curve_total = curve_total_;
    file_.close("write the end of the segment");
    finished_ = true;
    return std::move(segment_);
}

void SegmentWriter::write_index() {
    const Handle index = create_group(file_, "index");
    std::vector<std::string> names;
    for (const Id128& trial : trials_) names.push_back(trial.hex());
    write_text_column(index, {"trial_id", "the trial whose vector and curve these are", ""},
                      {names.begin(), names.end()});
    const auto write = [&](const char* name, const char* long_name, auto get) {
        std::vector<std::uint64_t> values;
        for (const BulkPlace& place : places_) values.push_back(get(place));
        write_column(index, {name, long_name, ""}, values);
    };
    write("bulk_offset", "byte offset by which the journal refers to the entry",
          [](const BulkPlace& place) { return place.offset_bytes; });
    write("vector_start", "first element in /values",
          [&](const BulkPlace& place) { return segment_.entries.at(place.offset_bytes).vector_start; });
    write("vector_count", "elements in /values", [](const BulkPlace& place) { return place.vector_count; });
    write("curve_start", "first point of the curve",
          [&](const BulkPlace& place) { return segment_.entries.at(place.offset_bytes).curve_start; });
    write("curve_count", "points of the curve", [](const BulkPlace& place) { return place.curve_count; });
    write("checksum", "XXH3-64 of vector and curve", [](const BulkPlace& place) { return place.checksum; });
}

SegmentReader::SegmentReader(const std::filesystem::path& path)
    : path_(path),
      file_(open_file(path)),
      vectors_(open_dataset(file_, kVectorValues)),
      evaluations_(open_dataset(file_, kCurveEvaluation)),
      losses_(open_dataset(file_, kCurveLoss)),
      accuracies_(open_dataset(file_, kCurveAccuracy)) {}

ArraySegment SegmentReader::index() const {
    const auto offsets = read_column<std::uint64_t>(file_, index_name("bulk_offset"));
    const auto vector_starts = read_column<std::uint64_t>(file_, index_name("vector_start"));
    const auto curve_starts = read_column<std::uint64_t>(file_, index_name("curve_start"));
    const auto checksums = read_column<std::uint64_t>(file_, index_name("checksum"));
    if (vector_starts.size() != offsets.size() || curve_starts.size() != offsets.size() ||
        checksums.size() != offsets.size()) {
        throw Hdf5Failure("the columns of its index differ in length");
    }
    ArraySegment segment{.path = path_,
                         .run_id = has_attribute(file_, kRunId) ? read_text_attribute(file_, kRunId) : "",
                         .vector_total = element_count(vectors_),
                         .curve_total = element_count(evaluations_),
                         .entries = {}};
    for (std::size_t row = 0; row < offsets.size(); ++row) {
        segment.entries[offsets[row]] = {vector_starts[row], curve_starts[row], checksums[row]};
    }
    return segment;
}

void SegmentReader::read(const BulkPlace& place, const SegmentEntry& entry,
                         record::TrialRecord& record) const {
    record.vector = read_stretch<float>(vectors_, entry.vector_start, place.vector_count);
    record.curve.evaluation = read_stretch<std::int32_t>(evaluations_, entry.curve_start, place.curve_count);
    record.curve.loss_nats = read_stretch<float>(losses_, entry.curve_start, place.curve_count);
    record.curve.accuracy = read_stretch<float>(accuracies_, entry.curve_start, place.curve_count);
}

}  // namespace memcap::store::detail
