// Merging run folders: rows, names and arrays of each, in one file.
#include "memcap/store/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <system_error>
#include <unordered_set>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/record/agreement.hpp"
#include "memcap/store/journal/shards.hpp"
#include "store/detail/array_library.hpp"
#include "store/detail/columns.hpp"
#include "store/detail/result_writer.hpp"

namespace memcap::store {

namespace {

/// A run folder opened for reading alone.
struct Source {
    RunFolder folder;
    detail::ArrayLibrary library;
    RunState state;
    bool is_shard = false;
};

Source open_source(const std::filesystem::path& root) {
    RunFolder folder(std::filesystem::weakly_canonical(root));
    if (!folder.exists()) {
        throw StoreError(root, {.what = "there is no run in this folder",
                                .where = {},
                                .why = "it has no journal",
                                .advice = "Name folders that `memcap run` wrote to, e.g. runs/<experiment>"});
    }
    auto library = detail::ArrayLibrary::open(folder);
    RunState state = replay(
        folder, [&library](const BulkPlace& place) { return library.check(place); }, TornTails::keep);
    const bool is_shard = read_shard(folder).has_value();
    return {std::move(folder), std::move(library), std::move(state), is_shard};
}

bool is_result_file(const std::filesystem::path& path) {
    try {
        const detail::Handle file = detail::open_file(path);
        return detail::has_attribute(file, "schema_version") && detail::has_link(file, "trials");
    } catch (const detail::Hdf5Failure&) {
        return false;
    }
}

/// A mistaken first argument must not cost its owner a file.
void expect_replaceable(const std::filesystem::path& out) {
    const auto real = std::filesystem::weakly_canonical(out);
    const RunFolder around(real.parent_path());
    const auto refuse = [&out](const char* why, const char* advice) {
        throw DataError(out, {.what = "cannot merge into this", .where = {}, .why = why, .advice = advice});
    };
    if (std::filesystem::is_directory(real))
        refuse("it is a folder", "Name the file to write first: memcap merge OUT.h5 DIR...");
    if (around.exists() && real == around.results_file())
        refuse("it is the results.h5 of a run itself", "Choose another name, e.g. merged.h5");
    if (std::filesystem::exists(real) && !is_result_file(real))
        refuse("it is there already and is no result file of memcap", "Choose another name");
}

/// Builds the joint tables: first the records of all folders, then names and rows folder by folder.
class Joint {
  public:
    explicit Joint(MergeReport& report) : report_(report) {}

    void add_records(const Source& source, std::size_t folder) {
        for (const auto& note : source.state.report().notes) report_.notes.push_back(note);
        for (const auto& [reason, count] : source.state.dropped()) {
            dropped_[reason] += count;
            report_.notes.push_back(source.folder.root().string() + ": " + dropped_text(reason, count));
        }
        folder_experiments_.push_back(source.state.tables().experiment);
        choose_records(source, folder);
    }

    void add_tables(const Source& source, std::size_t folder) {
        const record::RunTables& tables = source.state.tables();
        add_text(source);
        add_names(tables);
        add_samples(tables);
        for (auto skipped : tables.skipped) {
            rename(skipped.axes);
            if (seen_skipped_.insert({skipped.axes, skipped.reason}).second)
                tables_.skipped.push_back(std::move(skipped));
        }
        tables_.launches.insert(tables_.launches.end(), tables.launches.begin(), tables.launches.end());
        for (const auto& row : tables.rows) {
            // Of a shard the first folder has all rows: they stay in the order of the plan.
            if (source.is_shard ? chosen_.contains(row.trial_id) : source.state.find(row.trial_id) != nullptr)
                add_row(row, folder);
        }
        for (std::size_t row = 0; row < source.state.planned_rows(); ++row) add_planned(tables.rows[row]);
    }

    /// How far the plans of all folders are together, and the axes of what is still to run.
    PlanProgress progress() const {
        PlanProgress progress{.planned = planned_.size(), .done = 0, .failed = 0};
        for (const Id128& trial : planned_) {
            const auto chosen = chosen_.find(trial);
            if (chosen == chosen_.end()) continue;
            progress.done += chosen->second.stored->final() ? 1U : 0U;
            progress.failed += chosen->second.stored->failed_for_good() ? 1U : 0U;
        }
        return progress;
    }
    std::vector<const Axes*> open() const {
        std::vector<const Axes*> open;
        for (const auto& [axes, trial] : planned_rows_) {
            const auto chosen = chosen_.find(trial);
            const StoredRecord* stored = chosen == chosen_.end() ? nullptr : chosen->second.stored;
            if (stored == nullptr || !(stored->final() || stored->failed_for_good())) open.push_back(&axes);
        }
        return open;
    }
    const std::map<std::string, std::uint64_t>& dropped() const { return dropped_; }

    record::RunTables& tables() {
        tables_.experiment = fmt::format("{}", fmt::join(experiments_, " + "));
        return tables_;
    }
    std::vector<detail::ContentRow> rows() const {
        std::vector<detail::ContentRow> rows;
        for (const auto& [planned, folder] : rows_) {
            const auto& chosen = chosen_.at(planned.trial_id);
            rows.push_back({.planned = &planned,
                            .stored = chosen.stored,
                            .folder = chosen.folder,
                            .token_folder = folder});
        }
        return rows;
    }

  private:
    struct Chosen {
        const StoredRecord* stored;
        std::size_t folder;
    };

    void add_text(const Source& source) {
        const record::RunTables& tables = source.state.tables();
        if (tables_.created_utc.empty() || tables.created_utc < tables_.created_utc)
            tables_.created_utc = tables.created_utc;
        // Shards of one experiment are one experiment.
        if (source.is_shard && !shard_texts_.insert(tables.experiment_yaml).second) return;
        experiments_.push_back(tables.experiment);
        if (!tables_.experiment_yaml.empty()) tables_.experiment_yaml += "---\n";
        tables_.experiment_yaml += tables.experiment_yaml;
        if (!tables_.experiment_yaml.empty() && tables_.experiment_yaml.back() != '\n')
            tables_.experiment_yaml += '\n';
    }

    void add_names(const record::RunTables& tables) {
        add_rows(tables_.models, tables.models, new_models_, tables.experiment);
        add_rows(tables_.corpora, tables.corpora, new_corpora_, tables.experiment);
        add_rows(tables_.protocols, tables.protocols, new_protocols_, tables.experiment);
    }

    /// After the names: corpora may have new ones.
    void add_samples(const record::RunTables& tables) {
        for (record::SampleRow row : tables.samples) {
            if (const auto name = new_corpora_.find(row.corpus); name != new_corpora_.end())
                row.corpus = name->second;
            if (seen_samples_.emplace(row.corpus, row.sample).second)
                tables_.samples.push_back(std::move(row));
        }
    }

    /// Adds named rows; one whose name already stands for something else gets a name of its own.
    template <class Row>
    void add_rows(std::vector<Row>& rows, const std::vector<Row>& added,
                  std::map<std::string, std::string>& names, const std::string& experiment) {
        names.clear();
        const auto find = [&rows](const std::string& name) {
            return std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; });
        };
        for (Row row : added) {
            const std::string name = row.name;
            for (int number = 2; find(row.name) != rows.end() && !same_meaning(*find(row.name), row);
                 ++number) {
                row.name = number == 2 ? fmt::format("{} ({})", name, experiment)
                                       : fmt::format("{} ({} {})", name, experiment, number);
            }
            names[name] = row.name;
            if (row.name != name) {
                report_.notes.push_back(
                    fmt::format("'{}' of {} differs from the one before it and is called '{}'", name,
                                experiment, row.name));
            }
            if (find(row.name) == rows.end()) rows.push_back(std::move(row));
        }
    }

    void rename(Axes& axes) const {
        const auto replace = [](std::string& name, const std::map<std::string, std::string>& names) {
            if (const auto found = names.find(name); found != names.end()) name = found->second;
        };
        replace(axes.model, new_models_);
        replace(axes.corpus, new_corpora_);
        replace(axes.protocol, new_protocols_);
    }

    void choose_records(const Source& source, std::size_t folder) {
        for (const auto& [trial, stored] : source.state.records()) {
            const auto [place, fresh] = chosen_.try_emplace(trial, Chosen{&stored, folder});
            if (fresh) continue;
            ++report_.duplicates;
            const StoredRecord& former = *place->second.stored;
            if (!former.final() && (stored.final() || former.record.status == record::TrialStatus::failed)) {
                place->second = {&stored, folder};
            } else if (former.final() && stored.final()) {
                compare(former.record, place->second.folder, stored.record, folder);
            }
        }
    }

    void compare(const record::TrialRecord& former, std::size_t former_folder,
                 const record::TrialRecord& record, std::size_t folder) {
        const record::Comparison comparison = record::compare(former, record);
        if (comparison.agreement == record::Agreement::conflicting) {
            report_.conflicts.push_back(fmt::format(
                "trial {}: loss {} after {} evaluations in {} stays, loss {} after {} in {} is ignored",
                former.trial_id.hex(), former.loss_nats, former.evaluations,
                folder_experiments_[former_folder], record.loss_nats, record.evaluations,
                folder_experiments_[folder]));
        }
        if (comparison.agreement != record::Agreement::near) return;
        ++report_.near;
        if (!report_.largest_near.empty() && comparison.difference <= largest_near_) return;
        largest_near_ = comparison.difference;
        report_.largest_near = comparison.difference > 0.0
                                   ? fmt::format("{:.1e} of {} in trial {}", comparison.difference,
                                                 comparison.quantity, former.trial_id.hex())
                                   : fmt::format("{} evaluations and {} in trial {}", former.evaluations,
                                                 record.evaluations, former.trial_id.hex());
    }

    void add_planned(const record::PlannedRow& row) {
        planned_.insert(row.trial_id);
        Axes axes = row.axes;
        rename(axes);
        planned_rows_.emplace(std::move(axes), row.trial_id);
    }

    void add_row(record::PlannedRow row, std::size_t folder) {
        rename(row.axes);
        if (seen_.insert({row.axes, row.trial_id}).second) rows_.emplace_back(std::move(row), folder);
    }

    MergeReport& report_;
    record::RunTables tables_;
    std::vector<std::string> experiments_;
    std::vector<std::string> folder_experiments_;
    std::set<std::string> shard_texts_;
    std::set<std::pair<std::string, std::int32_t>> seen_samples_;
    std::set<std::pair<Axes, std::string>> seen_skipped_;
    std::map<std::string, std::string> new_models_, new_corpora_,
        new_protocols_;  ///< of the folder being added
    std::unordered_map<Id128, Chosen> chosen_;
    std::set<std::pair<Axes, Id128>> seen_;
    std::unordered_set<Id128> planned_;              ///< trials of the folders' last plans
    std::set<std::pair<Axes, Id128>> planned_rows_;  ///< and their rows
    std::map<std::string, std::uint64_t> dropped_;
    double largest_near_ = 0.0;
    std::deque<std::pair<record::PlannedRow, std::size_t>> rows_;
};

}  // namespace

MergeReport merge(const std::filesystem::path& out, const std::vector<std::filesystem::path>& folders,
                  MergeArrays arrays) {
    expect_replaceable(out);
    std::deque<Source> sources;
    for (const auto& folder : folders) sources.push_back(open_source(folder));
    MergeReport report;
    Joint joint(report);
    detail::ResultContent content{
        .tables = nullptr, .rows = {}, .folders = {}, .arrays = arrays, .progress = {}, .open = {}};
    for (Source& source : sources) {
        joint.add_records(source, content.folders.size());
        content.folders.push_back({&source.folder, &source.library});
    }
    for (std::size_t folder = 0; folder < sources.size(); ++folder) joint.add_tables(sources[folder], folder);
    content.tables = &joint.tables();
    content.rows = joint.rows();
    content.progress = joint.progress();
    content.open = joint.open();
    content.dropped = joint.dropped();
    report.written = detail::write_results(out, content);
    return report;
}

}  // namespace memcap::store
