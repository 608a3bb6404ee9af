// Rules by which frames add up to the state of a run.
#include "memcap/store/journal/run_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "memcap/base/hash.hpp"

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

/// Lets finished trials of an earlier plan stay, as long as their row still says what they are.
void keep_earlier_rows(record::RunTables& tables, const record::RunTables& earlier) {
    const auto models = keep_earlier(tables.models, earlier.models);
    const auto corpora = keep_earlier(tables.corpora, earlier.corpora);
    const auto protocols = keep_earlier(tables.protocols, earlier.protocols);
    if (earlier.rows.empty()) return;
    const auto less = [](const Axes* a, const Axes* b) { return *a < *b; };
    std::set<const Axes*, decltype(less)> known(less);
    for (const auto& row : tables.rows) known.insert(&row.axes);
    std::vector<const record::PlannedRow*> kept;
    for (const auto& row : earlier.rows) {
        if (models.contains(row.axes.model) || corpora.contains(row.axes.corpus)) continue;
        if (protocols.contains(row.axes.protocol)) continue;
        if (known.insert(&row.axes).second) kept.push_back(&row);
    }
    for (const auto* row : kept) tables.rows.push_back(*row);
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

/// Of all that a plan says, launches and date aside.
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

bool differs(double a, double b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) != std::isnan(b);
    return std::abs(a - b) > 1e-6 * std::max(std::abs(a), std::abs(b));
}

}  // namespace

bool same_meaning(const record::ModelRow& a, const record::ModelRow& b) {
    return a.config_sha256 == b.config_sha256 && a.weights_sha256 == b.weights_sha256;
}
bool same_meaning(const record::CorpusRow& a, const record::CorpusRow& b) {
    return a.kind == b.kind && a.part == b.part && a.sentences == b.sentences && a.sha256 == b.sha256 &&
           a.drawn_lengths == b.drawn_lengths;
}
bool same_meaning(const record::ProtocolRow& a, const record::ProtocolRow& b) {
    return a.values == b.values;
}

bool in_conflict(const record::TrialRecord& a, const record::TrialRecord& b) {
    return a.evaluations != b.evaluations || a.best_evaluation != b.best_evaluation ||
           a.correct_tokens != b.correct_tokens || differs(a.loss_nomem_nats, b.loss_nomem_nats) ||
           differs(a.loss_nats, b.loss_nats) || differs(a.loss_min_nats, b.loss_min_nats);
}

void RunState::add_tables(std::uint32_t segment, record::RunTables tables) {
    const std::vector<record::LaunchRow> launches = std::move(tables.launches);
    const Id128 hash = plan_hash(tables);
    if (plan_hash_ != hash) {
        tables.launches = std::move(tables_.launches);
        if (!tables_.created_utc.empty()) tables.created_utc = tables_.created_utc;
        planned_rows_ = tables.rows.size();
        keep_earlier_rows(tables, tables_);
        tables_ = std::move(tables);
        plan_hash_ = hash;
    }
    for (const auto& launch : launches) add_launch(segment, launch);
}

bool RunState::is_current_plan(const record::RunTables& tables) const {
    return plan_hash_ && *plan_hash_ == plan_hash(tables);
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
        const bool done = record.status == record::TrialStatus::done;
        if (done) ++report_.duplicates;
        if (done && in_conflict(stored.record, record)) {
            report_.conflicts.push_back(
                fmt::format("trial {}: loss {} after {} evaluations (attempt {}) stays, loss {} after {} "
                            "(attempt {}) is ignored",
                            record.trial_id.hex(), stored.record.loss_nats, stored.record.evaluations,
                            stored.record.attempt, record.loss_nats, record.evaluations, record.attempt));
        }
        return false;
    }
    stored = {
        .record = std::move(record), .arrays = arrays, .arrays_state = arrays_state, .attempts = attempts};
    return true;
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
