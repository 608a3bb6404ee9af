// Rules by which frames add up to the state of a run.
#include "memcap/store/journal/run_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_set>

#include "memcap/base/hash.hpp"
#include "memcap/record/agreement.hpp"

namespace memcap::store {

namespace {

/// Adds the named rows that only the earlier table has; returns the names that mean something else now.
template <class Row>
std::set<std::string> keep_earlier(std::vector<Row>& rows, const std::vector<Row>& earlier) {
    std::set<std::string> changed;
    const std::size_t current = rows.size();
    for (const Row& old : earlier) {
        const auto end = rows.begin() + static_cast<std::ptrdiff_t>(current);
        const auto same_name =
            std::find_if(rows.begin(), end, [&](const Row& row) { return row.name == old.name; });
        if (same_name == end) {
            rows.push_back(old);
        } else if (!same_meaning(*same_name, old)) {
            changed.insert(old.name);
        }
    }
    return changed;
}

/// Names that mean something else than they did.
struct ChangedNames {
    std::set<std::string> models, corpora, protocols;

    /// Why a row of the earlier plan cannot stay; empty if it can.
    std::string reason(const Axes& axes) const {
        if (models.contains(axes.model))
            return fmt::format("config.json or weights of model '{}' changed", axes.model);
        if (corpora.contains(axes.corpus)) return fmt::format("corpus '{}' changed", axes.corpus);
        if (protocols.contains(axes.protocol)) return fmt::format("protocol '{}' changed", axes.protocol);
        return "";
    }
};

/// Lets trials of an earlier plan stay, as long as their row still says what they are; `drop` hears of the
/// others and why.
template <class Drop>
void keep_earlier_rows(record::RunTables& tables, const record::RunTables& earlier, Drop drop) {
    const ChangedNames changed{.models = keep_earlier(tables.models, earlier.models),
                               .corpora = keep_earlier(tables.corpora, earlier.corpora),
                               .protocols = keep_earlier(tables.protocols, earlier.protocols)};
    if (earlier.rows.empty()) return;
    const auto less = [](const Axes* a, const Axes* b) { return *a < *b; };
    std::map<const Axes*, Id128, decltype(less)> known(less);
    for (const auto& row : tables.rows) known.emplace(&row.axes, row.trial_id);
    std::vector<const record::PlannedRow*> kept;
    for (const auto& row : earlier.rows) {
        if (const std::string reason = changed.reason(row.axes); !reason.empty()) {
            drop(row, reason);
            continue;
        }
        const auto [place, fresh] = known.emplace(&row.axes, row.trial_id);
        if (fresh) {
            kept.push_back(&row);
        } else if (place->second != row.trial_id) {
            drop(row, fmt::format("token ids of corpus '{}' changed", row.axes.corpus));
        }
    }
    for (const auto* row : kept) tables.rows.push_back(*row);
}

/// Adds where the samples came from that only the earlier plan has.
void keep_earlier_samples(record::RunTables& tables, const record::RunTables& earlier) {
    std::set<std::pair<std::string, std::int32_t>> known;
    for (const auto& row : tables.samples) known.emplace(row.corpus, row.sample);
    for (const auto& row : earlier.samples) {
        if (known.emplace(row.corpus, row.sample).second) tables.samples.push_back(row);
    }
}

/// Goes on with a hash over rows of a table, some at a time: all of them encoded are too much for memory.
template <class Row>
Id128 hash_rows(Id128 hash, const std::vector<Row>& rows, std::vector<Row> record::RunTables::*place) {
    constexpr std::size_t kRows = 4096;
    for (std::size_t first = 0; first < rows.size(); first += kRows) {
        const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(first);
        const auto count = std::min(kRows, rows.size() - first);
        record::RunTables part;
        (part.*place).assign(begin, begin + static_cast<std::ptrdiff_t>(count));
        ByteWriter writer;
        writer.id(hash);
        writer.raw(record::encode(part));
        hash = hash128(writer.bytes());
    }
    return hash;
}

}  // namespace

Id128 plan_hash(const record::RunTables& tables) {
    record::RunTables inputs;
    inputs.experiment = tables.experiment;
    inputs.experiment_yaml = tables.experiment_yaml;
    inputs.models = tables.models;
    inputs.corpora = tables.corpora;
    inputs.protocols = tables.protocols;
    const Id128 hash = hash_rows(hash128(record::encode(inputs)), tables.rows, &record::RunTables::rows);
    return hash_rows(hash, tables.skipped, &record::RunTables::skipped);
}

bool same_meaning(const record::ModelRow& a, const record::ModelRow& b) {
    return a.config_sha256 == b.config_sha256 && a.weights_sha256 == b.weights_sha256;
}
bool same_meaning(const record::CorpusRow& a, const record::CorpusRow& b) {
    return a.kind == b.kind && a.part == b.part && a.sentences == b.sentences && a.joined == b.joined &&
           a.opened == b.opened && a.sha256 == b.sha256 && a.drawn_lengths == b.drawn_lengths;
}
bool same_meaning(const record::ProtocolRow& a, const record::ProtocolRow& b) {
    return a.values == b.values;
}

void RunState::add_tables(std::uint32_t segment, record::RunTables tables) {
    const std::vector<record::LaunchRow> launches = std::move(tables.launches);
    const Id128 hash = store::plan_hash(tables);
    if (plan_hash_ != hash) {
        tables.launches = std::move(tables_.launches);
        if (!tables_.created_utc.empty()) tables.created_utc = tables_.created_utc;
        planned_rows_ = tables.rows.size();
        keep_earlier_rows(tables, tables_, [this](const record::PlannedRow& row, const std::string& reason) {
            dropped_[row.trial_id] = reason;
        });
        keep_earlier_samples(tables, tables_);
        tables_ = std::move(tables);
        plan_hash_ = hash;
    }
    for (const auto& launch : launches) add_launch(segment, launch);
}

bool RunState::is_current_plan(const record::RunTables& tables) const {
    return plan_hash_ && *plan_hash_ == store::plan_hash(tables);
}

void RunState::add_launch(std::uint32_t segment, const record::LaunchRow& launch) {
    if (!launch_segments_.empty() && launch_segments_.back() == segment) {
        tables_.launches.back() = launch;
        return;
    }
    launch_segments_.push_back(segment);
    tables_.launches.push_back(launch);
}

bool RunState::add_result(record::TrialRecord record, const BulkPlace& arrays, ArraysState arrays_state) {
    ++report_.results;
    last_bulk_ = std::max(last_bulk_, arrays.number);
    const auto [place, fresh] = records_.try_emplace(record.trial_id);
    StoredRecord& stored = place->second;
    const std::int32_t attempts = std::max(stored.attempts, record.attempt);
    stored.attempts = attempts;
    if (!fresh && stored.final()) {
        if (record.status == record::TrialStatus::done) count_duplicate(stored.record, record);
        return false;
    }
    stored = {
        .record = std::move(record), .arrays = arrays, .arrays_state = arrays_state, .attempts = attempts};
    return true;
}

void RunState::count_duplicate(const record::TrialRecord& former, const record::TrialRecord& record) {
    ++report_.duplicates;
    const record::Comparison comparison = record::compare(former, record);
    if (comparison.agreement == record::Agreement::near) {
        ++report_.near;
        report_.largest_near_difference = std::max(report_.largest_near_difference, comparison.difference);
    }
    if (comparison.agreement != record::Agreement::conflicting) return;
    report_.conflicts.push_back(fmt::format(
        "trial {}: loss {} after {} evaluations (attempt {}) stays, loss {} after {} (attempt {}) "
        "is ignored",
        record.trial_id.hex(), former.loss_nats, former.evaluations, former.attempt, record.loss_nats,
        record.evaluations, record.attempt));
}

PlanProgress RunState::progress() const {
    PlanProgress progress;
    std::unordered_set<Id128> planned;
    for (std::size_t row = 0; row < planned_rows_; ++row) {
        const Id128& trial = tables_.rows[row].trial_id;
        if (!planned.insert(trial).second) continue;
        const StoredRecord* stored = find(trial);
        progress.done += stored != nullptr && stored->final() ? 1U : 0U;
        progress.failed += stored != nullptr && stored->failed_for_good() ? 1U : 0U;
    }
    progress.planned = planned.size();
    return progress;
}

std::vector<const record::PlannedRow*> RunState::open_rows() const {
    std::vector<const record::PlannedRow*> open;
    for (std::size_t row = 0; row < planned_rows_; ++row) {
        const StoredRecord* stored = find(tables_.rows[row].trial_id);
        if (stored == nullptr || !(stored->final() || stored->failed_for_good()))
            open.push_back(&tables_.rows[row]);
    }
    return open;
}

std::map<std::string, std::uint64_t> RunState::dropped() const {
    return dropped([this](const Id128& trial) { return records_.contains(trial); });
}

std::map<std::string, std::uint64_t> RunState::dropped(
    const std::function<bool(const Id128&)>& has_record) const {
    std::map<std::string, std::uint64_t> counts;
    if (dropped_.empty()) return counts;
    std::unordered_set<Id128> shown;
    for (const auto& row : tables_.rows) shown.insert(row.trial_id);
    for (const auto& [trial, reason] : dropped_) {
        if (!shown.contains(trial) && has_record(trial)) ++counts[reason];
    }
    return counts;
}

std::uint64_t RunState::earlier_trials(const std::function<bool(const Id128&)>& has_record) const {
    const auto& rows = tables_.rows;
    if (rows.size() == planned_rows_) return 0;  // a million ids need not be gathered for nothing
    std::unordered_set<Id128> planned;
    for (std::size_t row = 0; row < planned_rows_; ++row) planned.insert(rows[row].trial_id);
    std::unordered_set<Id128> earlier;
    for (std::size_t row = planned_rows_; row < rows.size(); ++row) {
        const Id128& trial = rows[row].trial_id;
        if (!planned.contains(trial) && has_record(trial)) earlier.insert(trial);
    }
    return earlier.size();
}

const StoredRecord* RunState::find(const Id128& trial) const {
    const auto found = records_.find(trial);
    return found == records_.end() ? nullptr : &found->second;
}

std::vector<ResultRow> RunState::rows() const {
    std::vector<ResultRow> rows;
    for (const auto& planned : tables_.rows) {
        if (const StoredRecord* stored = find(planned.trial_id)) rows.push_back({&planned, stored});
    }
    return rows;
}

}  // namespace memcap::store
