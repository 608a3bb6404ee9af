// Putting a result file together and in place.
#include "store/detail/result_writer.hpp"

#include <fmt/format.h>

#include <cmath>
#include <system_error>

#include "memcap/base/build_info.hpp"
#include "memcap/base/files.hpp"
#include "store/detail/columns.hpp"
#include "store/detail/ragged.hpp"
#include "store/detail/segment_file.hpp"
#include "store/detail/side_tables.hpp"
#include "store/detail/trial_columns.hpp"

namespace memcap::store::detail {

namespace {

constexpr std::int32_t kResultSchemaVersion = 1;

/// Removes a temporary file that was not put in place.
class TemporaryFile {
  public:
    explicit TemporaryFile(std::filesystem::path path) : path_(std::move(path)) {}
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() {
        std::error_code ignored;
        std::filesystem::remove(path_, ignored);
    }
    const std::filesystem::path& path() const noexcept { return path_; }

  private:
    std::filesystem::path path_;
};

std::vector<metrics::StatisticsRow> statistics_of(const ResultContent& content) {
    std::vector<metrics::Outcome> outcomes;
    for (const ContentRow& row : content.rows) outcomes.push_back({&row.planned->axes, &row.stored->record});
    return metrics::statistics(outcomes, content.tables->models, content.tables->corpora, content.open);
}

/// Bytes that the file takes at most: HDF5's structures, tables, tokens, and arrays if they are copied.
std::uint64_t size_bound_bytes(const ResultContent& content) {
    constexpr std::uint64_t kOverheadBytes = 1 << 20;
    constexpr std::uint64_t kRowBytes = 2048;
    constexpr std::uint64_t kPointBytes = 12;  // of a curve: evaluation, loss and accuracy
    std::uint64_t size_bytes = kOverheadBytes + content.tables->experiment_yaml.size() +
                               kRowBytes * (content.rows.size() + content.tables->skipped.size());
    for (const ContentRow& row : content.rows) {
        const auto tokens = row.planned->axes.length + row.planned->axes.prefix;
        size_bytes += sizeof(std::int32_t) * static_cast<std::uint64_t>(tokens);
        const BulkPlace& place = row.stored->arrays;
        if (content.arrays == MergeArrays::copy) size_bytes += sizeof(float) * place.vector_count;
        if (content.arrays != MergeArrays::refer) size_bytes += kPointBytes * place.curve_count;
    }
    return size_bytes;
}

void write_plan_attributes(const Handle& file, const ResultContent& content) {
    write_attribute(file, "planned_trials", static_cast<std::int64_t>(content.progress.planned));
    write_attribute(file, "open_trials", static_cast<std::int64_t>(content.progress.open()));
    write_attribute(file, "skipped_trials", static_cast<std::int64_t>(content.tables->skipped.size()));
    std::uint64_t dropped = 0;
    std::string reasons;
    for (const auto& [reason, count] : content.dropped) {
        dropped += count;
        reasons += fmt::format("{}{} ({})", reasons.empty() ? "" : "; ", reason, count);
    }
    write_attribute(file, "dropped_trials", static_cast<std::int64_t>(dropped));
    write_attribute(file, "dropped_reasons", reasons);
}

/// HDF5 gives fill values where it does not find what a file refers to; such a file must not be put in place.
void expect_values(const std::filesystem::path& path, const ArraysReport& arrays) {
    const Handle file = open_file(path);
    const auto refuse = [] {
        throw Hdf5Failure("a vectors segment that it refers to cannot be read through it");
    };
    const auto first = [&file]<class T>(const std::string& dataset, std::int64_t at, T) {
        return read_stretch<T>(open_dataset(file, dataset), static_cast<std::uint64_t>(at), 1).front();
    };
    for (const std::int64_t at : arrays.vector_samples) {
        if (std::isnan(first(std::string("vectors/") + kVectorValues, at, float{}))) refuse();
    }
    for (const std::int64_t at : arrays.curve_samples) {
        if (first(std::string("curves/") + kCurveEvaluation, at, std::int32_t{}) < 1) refuse();
    }
}

SnapshotReport write_file(const std::filesystem::path& temporary, const ResultContent& content,
                          const std::filesystem::path& base) {
    require_space(temporary, size_bound_bytes(content));
    Handle file = create_file(temporary);
    write_attribute(file, "schema_version", kResultSchemaVersion);
    write_attribute(file, "Conventions", "memcap-1");
    write_attribute(file, "memcap_version", kVersion);
    write_attribute(file, "experiment", content.tables->experiment);
    write_attribute(file, "created_utc", content.tables->created_utc);
    write_plan_attributes(file, content);
    write_trials(file, content);
    write_side_tables(file, *content.tables, statistics_of(content));
    const ArraysReport arrays = write_arrays(file, content, base);
    const std::uint64_t without_tokens = write_tokens(file, content);
    file.close("write the end of the file");
    for (const ContentFolder& folder : content.folders) folder.library->release();
    expect_values(temporary, arrays);
    return {.rows = content.rows.size(),
            .rows_without_tokens = without_tokens,
            .rows_without_arrays = arrays.gone,
            .lost_segments = {arrays.lost.begin(), arrays.lost.end()},
            .rows_with_young_arrays = arrays.young};
}

}  // namespace

SnapshotReport write_results(const std::filesystem::path& path, const ResultContent& content) {
    const auto real = std::filesystem::weakly_canonical(path);
    const TemporaryFile temporary(temporary_name(real));
    try {
        SnapshotReport report = write_file(temporary.path(), content, real.parent_path());
        publish_file(temporary.path(), real);
        return report;
    } catch (const Hdf5Failure& failure) {
        throw StoreError(
            path, {.what = "cannot write the result file",
                   .where = {},
                   .why = failure.what(),
                   .advice = "Free space if the disk is full, or choose a folder that you may write to; the "
                             "journal holds everything"});
    }
}

}  // namespace memcap::store::detail
