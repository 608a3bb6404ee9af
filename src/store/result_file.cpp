// Reading results.h5.
#include "memcap/store/result_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/shards.hpp"
#include "store/detail/columns.hpp"
#include "store/detail/segment_file.hpp"
#include "store/detail/side_tables.hpp"
#include "store/detail/virtual_sources.hpp"

namespace memcap::store {

namespace {

using detail::Handle;
using record::TrialRecord;

constexpr std::int32_t kNewestSchema = 1;

[[noreturn]] void fail(
    const std::filesystem::path& path, const std::string& what, const std::string& why,
    const std::string& advice =
        "Name a run folder or its results.h5; `memcap rebuild DIR` writes a damaged one anew") {
    throw DataError(path, {.what = what, .where = {}, .why = why, .advice = advice});
}

[[noreturn]] void fail_missing(const std::filesystem::path& path) {
    const std::filesystem::path folder = path.parent_path();
    if (find_shards(folder)) {
        const std::string merged = (folder / "merged.h5").string();
        fail(path, "there is no such result file", "the run in this folder is in shards",
             fmt::format("Merge them, and name the result: memcap merge {} {}", merged, folder.string()));
    }
    const bool run_is_there = RunFolder(folder).exists();
    if (!run_is_there) fail(path, "there is no such result file", "");
    fail(path, "there is no such result file yet",
         "a run writes it after some minutes and at its end; the journal has all results so far",
         "Wait for the run, or name OUT.h5 after `memcap merge OUT.h5 DIR --self-contained`, which works at "
         "any moment, also after a run that was killed");
}

/// Start and count of each row in a ragged part.
struct Stretches {
    std::vector<std::int64_t> start, count;

    Stretches() = default;
    Stretches(const Handle& file, const std::string& group, std::size_t rows)
        : start(detail::read_column<std::int64_t>(file, group + "/start")),
          count(detail::read_column<std::int64_t>(file, group + "/count")) {
        if (start.size() != rows || count.size() != rows) {
            throw detail::Hdf5Failure("the rows of /" + group + " are not as many as those of /trials");
        }
    }
    template <class T>
    std::vector<T> read(const Handle& dataset, std::size_t row) const {
        if (start[row] < 0 || count[row] < 0) throw detail::Hdf5Failure("a row begins before its dataset");
        return detail::read_stretch<T>(dataset, static_cast<std::uint64_t>(start[row]),
                                       static_cast<std::uint64_t>(count[row]));
    }
};

template <class Enum>
Enum parse_name(const std::string& name, std::initializer_list<Enum> known) {
    for (const Enum value : known) {
        if (to_string(value) == name) return value;
    }
    throw detail::Hdf5Failure("'" + name + "' is nothing that this memcap knows");
}

/// Fills one field of every row from one column.
class TrialColumns {
  public:
    TrialColumns(const Handle& file, std::vector<Axes>& axes, std::vector<TrialRecord>& records)
        : group_(detail::open_group(file, "trials")), axes_(axes), records_(records) {
        const auto ids = detail::read_text_column(group_, "trial_id");
        axes_.resize(ids.size());
        records_.resize(ids.size());
        for (std::size_t row = 0; row < ids.size(); ++row) records_[row].trial_id = Id128::from_hex(ids[row]);
    }

    template <class Row, class T>
    void numbers(std::vector<Row>& rows, const char* name, T Row::*member) const {
        const auto values = expect_rows(detail::read_column<T>(group_, name), name);
        for (std::size_t row = 0; row < rows.size(); ++row) rows[row].*member = values[row];
    }
    template <class Set>
    void texts(const char* name, Set set) const {
        const auto values = expect_rows(detail::read_text_column(group_, name), name);
        for (std::size_t row = 0; row < values.size(); ++row) set(row, values[row]);
    }
    void read_axes() const {
        texts("model", [this](std::size_t row, const std::string& text) { axes_[row].model = text; });
        texts("corpus", [this](std::size_t row, const std::string& text) { axes_[row].corpus = text; });
        texts("protocol", [this](std::size_t row, const std::string& text) { axes_[row].protocol = text; });
        texts("precision", [this](std::size_t row, const std::string& text) {
            const auto precision = parse_precision(text);
            if (!precision)
                throw detail::Hdf5Failure("'" + text + "' is no precision that this memcap knows");
            axes_[row].precision = *precision;
        });
        numbers(axes_, "sample", &Axes::sample);
        numbers(axes_, "seed", &Axes::seed);
        numbers(axes_, "memory_vectors", &Axes::memory_vectors);
        numbers(axes_, "length", &Axes::length);
        numbers(axes_, "prefix", &Axes::prefix);
    }
    void read_outcome() const {
        using record::StopReason;
        using record::TrialStatus;
        texts("status", [this](std::size_t row, const std::string& text) {
            records_[row].status = parse_name(text, {TrialStatus::done, TrialStatus::failed});
        });
        texts("failure",
              [this](std::size_t row, const std::string& text) { set_failure(records_[row], text); });
        texts("stop_reason", [this](std::size_t row, const std::string& text) {
            records_[row].stop_reason = parse_name(
                text, {StopReason::none, StopReason::solved, StopReason::patience, StopReason::max_steps});
        });
        numbers(records_, "scored_tokens", &TrialRecord::scored_tokens);
        numbers(records_, "evaluations", &TrialRecord::evaluations);
        numbers(records_, "best_evaluation", &TrialRecord::best_evaluation);
        numbers(records_, "loss_nomem_nats", &TrialRecord::loss_nomem_nats);
        numbers(records_, "accuracy_nomem", &TrialRecord::accuracy_nomem);
        numbers(records_, "loss_nats", &TrialRecord::loss_nats);
        numbers(records_, "accuracy", &TrialRecord::accuracy);
        numbers(records_, "correct_tokens", &TrialRecord::correct_tokens);
        numbers(records_, "loss_min_nats", &TrialRecord::loss_min_nats);
        const auto exact = expect_rows(detail::read_column<std::uint8_t>(group_, "exact"), "exact");
        for (std::size_t row = 0; row < exact.size(); ++row) records_[row].exact = exact[row] != 0;
    }
    void read_circumstances() const {
        numbers(records_, "elapsed_s", &TrialRecord::elapsed_s);
        numbers(records_, "rank", &TrialRecord::rank);
        numbers(records_, "attempt", &TrialRecord::attempt);
        texts("host", [this](std::size_t row, const std::string& text) { records_[row].host = text; });
        texts("device", [this](std::size_t row, const std::string& text) { records_[row].device = text; });
        texts("finished_utc",
              [this](std::size_t row, const std::string& text) { records_[row].finished_utc = text; });
    }

  private:
    template <class Values>
    Values expect_rows(Values values, const char* name) const {
        if (values.size() != records_.size()) {
            throw detail::Hdf5Failure(fmt::format("/trials/{} has {} rows, /trials/trial_id {}", name,
                                                  values.size(), records_.size()));
        }
        return values;
    }
    static void set_failure(TrialRecord& record, const std::string& text) {
        using record::FailureCategory;
        const auto colon = text.find(": ");
        if (colon == std::string::npos) return;
        record.failure.category = parse_name(
            text.substr(0, colon),
            {FailureCategory::retryable, FailureCategory::permanent, FailureCategory::device_lost});
        record.failure.message = text.substr(colon + 2);
    }

    Handle group_;
    std::vector<Axes>& axes_;
    std::vector<TrialRecord>& records_;
};

/// Fill values, which HDF5 gives where it finds no data, are no vector and no curve.
void expect_values(const TrialRecord& record) {
    const auto is_nan = [](float value) { return std::isnan(value); };
    const auto no_evaluation = [](std::int32_t evaluation) { return evaluation < 1; };
    if (std::ranges::any_of(record.vector, is_nan) || std::ranges::any_of(record.curve.accuracy, is_nan) ||
        std::ranges::any_of(record.curve.evaluation, no_evaluation)) {
        throw detail::Hdf5Failure("its values are not where they should be");
    }
}

/// Whether this is the results.h5 of a run whose journal lies beside it.
bool is_of_a_run(const std::filesystem::path& path) {
    const RunFolder around(path.parent_path());
    return around.exists() && path.filename() == around.results_file().filename();
}

/// What to do about vectors that are gone; tells the way that is open for the file.
std::string advice_on_lost(const std::filesystem::path& path) {
    if (!is_of_a_run(path)) {
        return "Put the files back where it refers to, relative to its own folder, or make it again from the "
               "run folders, here with all vectors in it: memcap merge OUT.h5 DIR... --self-contained";
    }
    return fmt::format(
        "Put the files back from a copy of the folder. Without one: after `memcap rebuild {}` "
        "the vectors that are left can be used, and a run of the experiment into another "
        "folder (--out) makes the others anew",
        path.parent_path().string());
}

/// HDF5 answers with fill values where the file behind a virtual dataset is gone or cannot be opened; that
/// must not pass for data.
void expect_segments(const std::filesystem::path& path, std::initializer_list<const Handle*> datasets) {
    std::map<std::string, std::string> lost;
    for (const Handle* dataset : datasets) {
        for (const auto& source : detail::virtual_sources(*dataset)) {
            if (lost.contains(source.file)) continue;
            if (auto why = detail::why_unreadable(path.parent_path() / source.file); !why.empty())
                lost.emplace(source.file, std::move(why));
        }
    }
    if (lost.empty()) return;
    std::string reasons;
    for (const auto& [file, why] : lost)
        reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", file, why);
    throw DataError(
        path, {.what = lost.size() == 1
                           ? "a file that holds vectors of it cannot be read"
                           : fmt::format("{} files that hold vectors of it cannot be read", lost.size()),
               .where = {},
               .why = reasons,
               .advice = advice_on_lost(path)});
}

}  // namespace

struct ResultFile::Content {
    std::filesystem::path path;
    Handle file;
    std::vector<Axes> axes;
    std::vector<TrialRecord> records;
    record::RunTables tables;
    std::vector<metrics::StatisticsRow> statistics;
    std::int64_t planned_trials = -1;
    std::int64_t open_trials = -1;
    Stretches vectors, curves, texts, prefixes;
    Handle vector_values, curve_evaluation, curve_loss, curve_accuracy, text_values, prefix_values;
    bool segments_are_there = false;

    void read_head();
    void read_trials();
    void open_ragged();
    std::string segment_of(std::size_t row) const;
    void read_arrays(std::size_t row, TrialRecord& record) const;
    StoredTrial read(std::size_t row);
};

void ResultFile::Content::read_head() {
    const auto version = detail::read_int_attribute(file, "schema_version");
    if (version > kNewestSchema) {
        throw detail::Hdf5Failure(
            fmt::format("it has schema {}, and this memcap reads up to {}", version, kNewestSchema));
    }
    tables = detail::read_side_tables(file);
    tables.experiment = detail::read_text_attribute(file, "experiment");
    tables.created_utc = detail::read_text_attribute(file, "created_utc");
    statistics = detail::read_statistics(file);
    // Files of early versions lack them.
    for (const auto& [name, value] :
         {std::pair("planned_trials", &planned_trials), {"open_trials", &open_trials}}) {
        if (detail::has_attribute(file, name)) *value = detail::read_int_attribute(file, name);
    }
}

void ResultFile::Content::read_trials() {
    const TrialColumns columns(file, axes, records);
    columns.read_axes();
    columns.read_outcome();
    columns.read_circumstances();
    std::unordered_map<std::string, std::int32_t> widths;
    for (const auto& model : tables.models) widths[model.name] = model.memory_width;
    for (std::size_t row = 0; row < records.size(); ++row)
        records[row].vector_width = widths[axes[row].model];
}

void ResultFile::Content::open_ragged() {
    vectors = Stretches(file, "vectors", records.size());
    curves = Stretches(file, "curves", records.size());
    texts = Stretches(file, "tokens", records.size());
    prefixes = Stretches(file, "prefix_tokens", records.size());
    const auto open = [this](const char* group, const char* name) {
        return detail::open_dataset(file, fmt::format("{}/{}", group, name));
    };
    vector_values = open("vectors", detail::kVectorValues);
    curve_evaluation = open("curves", detail::kCurveEvaluation);
    curve_loss = open("curves", detail::kCurveLoss);
    curve_accuracy = open("curves", detail::kCurveAccuracy);
    text_values = open("tokens", "values");
    prefix_values = open("prefix_tokens", "values");
}

std::string ResultFile::Content::segment_of(std::size_t row) const {
    for (const auto& source : detail::virtual_sources(vector_values)) {
        const auto start = static_cast<std::uint64_t>(vectors.start[row]);
        if (start >= source.start && start - source.start < source.count) return source.file;
    }
    return "";
}

void ResultFile::Content::read_arrays(std::size_t row, TrialRecord& record) const {
    try {
        record.vector = vectors.read<float>(vector_values, row);
        record.curve.evaluation = curves.read<std::int32_t>(curve_evaluation, row);
        record.curve.loss_nats = curves.read<float>(curve_loss, row);
        record.curve.accuracy = curves.read<float>(curve_accuracy, row);
        expect_values(record);
    } catch (const detail::Hdf5Failure& failure) {
        const std::string segment = segment_of(row);
        if (segment.empty()) throw;
        throw DataError(path,
                        {.what = fmt::format("cannot read the vector of trial {}", record.trial_id.hex()),
                         .where = {},
                         .why = fmt::format("{} is damaged: {}", segment, failure.what()),
                         .advice = advice_on_lost(path)});
    }
}

StoredTrial ResultFile::Content::read(std::size_t row) {
    if (!segments_are_there) {
        expect_segments(path, {&vector_values, &curve_evaluation});
        segments_are_there = true;
    }
    StoredTrial trial{.axes = axes[row], .record = records[row], .text = {}, .prefix = {}};
    read_arrays(row, trial.record);
    trial.text = texts.read<std::int32_t>(text_values, row);
    trial.prefix = prefixes.read<std::int32_t>(prefix_values, row);
    return trial;
}

ResultFile::ResultFile(std::unique_ptr<Content> content) : content_(std::move(content)) {}
ResultFile::ResultFile(ResultFile&&) noexcept = default;
ResultFile& ResultFile::operator=(ResultFile&&) noexcept = default;
ResultFile::~ResultFile() = default;

ResultFile ResultFile::open(const std::filesystem::path& path) {
    auto content = std::make_unique<Content>();
    content->path =
        std::filesystem::absolute(std::filesystem::is_directory(path) ? path / "results.h5" : path);
    if (!std::filesystem::exists(content->path)) fail_missing(content->path);
    // What it refers to lies beside the file itself, not beside a link to it.
    content->path = std::filesystem::canonical(content->path);
    try {
        content->file = detail::open_file(content->path);
        content->read_head();
        content->read_trials();
        content->open_ragged();
    } catch (const detail::Hdf5Failure& failure) {
        fail(content->path, "cannot read this result file", failure.what());
    } catch (const UsageError& error) {
        fail(content->path, "cannot read this result file", error.text().what);
    }
    return ResultFile(std::move(content));
}

std::size_t ResultFile::rows() const {
    return content_->records.size();
}
const Axes& ResultFile::axes(std::size_t row) const {
    return content_->axes.at(row);
}
const record::TrialRecord& ResultFile::numbers(std::size_t row) const {
    return content_->records.at(row);
}
bool ResultFile::has_vector(std::size_t row) const {
    return content_->vectors.count.at(row) > 0;
}
std::int64_t ResultFile::planned_trials() const {
    return content_->planned_trials;
}
std::int64_t ResultFile::open_trials() const {
    return content_->open_trials;
}
const record::RunTables& ResultFile::tables() const {
    return content_->tables;
}
const std::vector<metrics::StatisticsRow>& ResultFile::statistics() const {
    return content_->statistics;
}

StoredTrial ResultFile::read(std::size_t row) const {
    MEMCAP_EXPECT(row < rows());
    try {
        return content_->read(row);
    } catch (const detail::Hdf5Failure& failure) {
        fail(content_->path, fmt::format("cannot read trial {}", numbers(row).trial_id.hex()),
             failure.what());
    }
}

std::string ResultFile::segment_of(std::size_t row) const {
    MEMCAP_EXPECT(row < rows());
    return has_vector(row) ? content_->segment_of(row) : "";
}

}  // namespace memcap::store
