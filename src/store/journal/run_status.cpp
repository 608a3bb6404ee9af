// Counting a run's trials from its journal.
#include "memcap/store/journal/run_status.hpp"

#include <algorithm>
#include <ctime>
#include <functional>
#include <map>
#include <unordered_set>

#include "memcap/base/errors.hpp"
#include "memcap/record/agreement.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store {

namespace {

/// Seconds since 1970 of what utc_now() writes; 0 if it is something else.
std::int64_t seconds_of(const std::string& utc) {
    std::tm parts{};
    if (::strptime(utc.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts) == nullptr) return 0;
    return ::timegm(&parts);
}

/// Failed trials by what they have in common.
using FailureGroups = std::map<std::string, FailureGroup>;

void count_trial(RunStatus& status, FailureGroups& groups, const Axes& axes, const StoredRecord& stored) {
    if (stored.record.status == record::TrialStatus::done) {
        ++status.done;
    } else {
        ++(stored.failed_for_good() ? status.failed : status.retryable);
        FailureGroup& group = groups[record::failure_kind(stored.record.failure)];
        if (group.trials.empty()) {
            group.reason = record::failure_text(stored.record.failure);
            group.axes = axes;
        }
        group.trials.push_back(stored.record.trial_id);
    }
    // ISO 8601 in UTC sorts as text.
    if (stored.record.finished_utc >= status.started_utc) {
        ++status.done_in_launch;
        status.last_result_utc = std::max(status.last_result_utc, stored.record.finished_utc);
    }
}

}  // namespace

RunStatus read_status(const RunFolder& folder) {
    if (!folder.exists()) {
        throw StoreError(folder.root(),
                         {.what = "there is no run in this folder",
                          .where = {},
                          .why = "it has no journal",
                          .advice = "Name the folder that `memcap run` wrote to, e.g. runs/<experiment>"});
    }
    const RunState state = replay(
        folder, [](const BulkPlace&) { return ArraysState::whole; }, TornTails::keep);
    const record::RunTables& tables = state.tables();
    RunStatus status;
    status.experiment = tables.experiment;
    status.skipped = tables.skipped.size();
    status.launches = tables.launches.size();
    if (!tables.launches.empty()) {
        status.started_utc = tables.launches.back().started_utc;
        status.ended_utc = tables.launches.back().ended_utc;
    }
    std::unordered_set<Id128> planned;
    FailureGroups groups;
    for (std::size_t row = 0; row < state.planned_rows(); ++row) {
        if (!planned.insert(tables.rows[row].trial_id).second) continue;
        if (const StoredRecord* stored = state.find(tables.rows[row].trial_id))
            count_trial(status, groups, tables.rows[row].axes, *stored);
    }
    for (auto& [kind, group] : groups) status.failures.push_back(std::move(group));
    std::ranges::stable_sort(status.failures, std::ranges::greater(),
                             [](const FailureGroup& group) { return group.trials.size(); });
    status.planned = planned.size();
    if (const auto started = seconds_of(status.started_utc); started > 0 && status.done_in_launch > 0) {
        status.elapsed_in_launch_s =
            std::max(1.0, static_cast<double>(seconds_of(status.last_result_utc) - started));
    }
    status.owner = read_lock(folder.lock_file());
    status.damaged_bytes = state.report().damaged_bytes;
    return status;
}

}  // namespace memcap::store
