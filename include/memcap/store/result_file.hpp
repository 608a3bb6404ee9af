// The read side of results.h5: trials as they were recorded, from that file alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memcap/base/axes.hpp"
#include "memcap/metrics/statistics.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"

namespace memcap::store {

/// One row of /trials with what belongs to it.
struct StoredTrial {
    Axes axes;
    record::TrialRecord record;      ///< vector [K, E] and curve included; empty if none were kept
    std::vector<std::int32_t> text;  ///< N tokens; empty if the file lacks them
    std::vector<std::int32_t> prefix;
};

/// A result file, open for reading. The columns are read at once, vectors and tokens when asked for.
class ResultFile {
  public:
    /// `path`: the file, or a run folder. Throws DataError for what is no result file, a damaged or a newer
    /// one.
    static ResultFile open(const std::filesystem::path& path);

    ResultFile(ResultFile&&) noexcept;
    ResultFile& operator=(ResultFile&&) noexcept;
    ~ResultFile();

    std::size_t rows() const;
    const Axes& axes(std::size_t row) const;
    /// The row's numbers; its vector and curve are left empty.
    const record::TrialRecord& numbers(std::size_t row) const;
    /// Whether a vector was kept for the row.
    bool has_vector(std::size_t row) const;
    /// The row with its vector, curve and tokens; throws DataError if a file that holds vectors is gone or
    /// cannot be read.
    StoredTrial read(std::size_t row) const;
    /// The file that holds the row's vector, relative to this one; empty if it is this one, or there is none.
    std::string segment_of(std::size_t row) const;

    /// Distinct trials of the last plan, and those of them that are still to run; -1: the file does not say.
    std::int64_t planned_trials() const;
    std::int64_t open_trials() const;
    /// experiment, created_utc, experiment_yaml, models, corpora, protocols, skipped and launches; `rows` is
    /// empty.
    const record::RunTables& tables() const;
    const std::vector<metrics::StatisticsRow>& statistics() const;

  private:
    struct Content;
    explicit ResultFile(std::unique_ptr<Content> content);
    std::unique_ptr<Content> content_;
};

}  // namespace memcap::store
