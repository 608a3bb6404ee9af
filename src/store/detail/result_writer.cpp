// Putting a result file together and in place.
#include "store/detail/result_writer.hpp"

#include <system_error>

#include "memcap/base/build_info.hpp"
#include "memcap/base/files.hpp"
#include "store/detail/columns.hpp"
#include "store/detail/ragged.hpp"
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
    return metrics::statistics(outcomes, content.tables->models, content.tables->corpora);
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
        if (content.arrays == MergeArrays::refer) continue;
        size_bytes +=
            sizeof(float) * row.stored->arrays.vector_count + kPointBytes * row.stored->arrays.curve_count;
    }
    return size_bytes;
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
    write_trials(file, content);
    write_side_tables(file, *content.tables, statistics_of(content));
    SnapshotReport report{.rows = content.rows.size(), .rows_without_tokens = 0, .rows_without_arrays = 0};
    report.rows_without_arrays = write_arrays(file, content, base);
    report.rows_without_tokens = write_tokens(file, content);
    file.close("write the end of the file");
    return report;
}

}  // namespace

SnapshotReport write_results(const std::filesystem::path& path, const ResultContent& content) {
    const auto absolute = std::filesystem::absolute(path).lexically_normal();
    const TemporaryFile temporary(absolute.string() + ".tmp");
    try {
        const SnapshotReport report = write_file(temporary.path(), content, absolute.parent_path());
        publish_file(temporary.path(), absolute);
        return report;
    } catch (const Hdf5Failure& failure) {
        throw StoreError(
            path, {.what = "cannot write the result file",
                   .where = {},
                   .why = failure.what(),
                   .advice = "Free space if the disk is full; the journal holds everything, and `memcap "
                             "rebuild` writes the file anew"});
    }
}

}  // namespace memcap::store::detail
