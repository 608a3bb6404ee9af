// Counting a run's trials from its journal.
#include "memcap/store/journal/run_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_set>

#include "memcap/base/errors.hpp"
#include "memcap/record/agreement.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/shards.hpp"
#include "store/journal/detail/utc_text.hpp"

namespace memcap::store {

namespace {

using detail::seconds_of;

/// Failed trials by what they have in common.
using FailureGroups = std::map<std::string, FailureGroup>;

void count_trial(RunStatus& status, FailureGroups& groups, const Axes& axes, const StoredRecord& stored) {
    if (stored.record.status == record::TrialStatus::done) {
        ++status.done;
    } else {
        ++(stored.failed_for_good() ? status.failed : status.retryable);
        const std::string kind = record::failure_kind(stored.record.failure);
        FailureGroup& group = groups[kind];
        if (group.trials.empty()) {
            group.kind = kind;
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

/// The last time that a run is known to have lived: its heartbeat, or a result of the launch.
std::string last_sign_utc(const RunStatus& status) {
    const std::string beat = status.owner ? status.owner->last_sign_utc() : std::string();
    return std::max(beat, status.last_result_utc);
}

}  // namespace

RunActivity activity(const RunStatus& status) {
    const bool ended = !status.ended_utc.empty();
    // A lock that is younger than the last end is one of a launch that prepares itself. UTC sorts as text.
    if (status.owner && (!ended || status.owner->started_utc > status.ended_utc))
        return status.life == OwnerLife::alive ? RunActivity::running : RunActivity::dead;
    if (status.launches == 0) return RunActivity::not_started;
    if (!ended) return RunActivity::dead;
    return status.open() == 0 ? RunActivity::done : RunActivity::stopped;
}

std::string_view to_string(RunActivity activity) {
    switch (activity) {
        case RunActivity::not_started:
            return "not started";
        case RunActivity::running:
            return "running";
        case RunActivity::stopped:
            return "stopped";
        case RunActivity::dead:
            return "dead";
        case RunActivity::done:
            return "done";
    }
    return "";
}

std::string death_text(const RunStatus& status) {
    if (activity(status) != RunActivity::dead) return {};
    if (!status.owner) {
        return fmt::format(
            "dead: launch {} began {} and ended without saying so, last result {}; the same command goes on",
            status.launches, status.started_utc,
            status.last_result_utc.empty() ? "none" : status.last_result_utc);
    }
    const std::string who = describe(*status.owner);
    if (status.life == OwnerLife::silent) {
        return fmt::format(
            "dead, it seems: {} has given no sign of life since {} (by its clock). The same command goes on "
            "once nothing has moved for {:.0f} s",
            who, last_sign_utc(status), LockTimes().silence_s);
    }
    return fmt::format("dead: {} ended without a word, last sign of life {}; the same command goes on", who,
                       last_sign_utc(status));
}

RunStatus read_status(const RunFolder& folder, const LockRequest& request) {
    folder.expect_run();
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
    status.shard = read_shard(folder);
    status.planned_by_shard.resize(status.shard ? status.shard->count : 0);
    std::unordered_set<Id128> planned;
    FailureGroups groups;
    for (std::size_t row = 0; row < state.planned_rows(); ++row) {
        const Id128& trial = tables.rows[row].trial_id;
        if (!planned.insert(trial).second) continue;
        if (status.shard) ++status.planned_by_shard[status.shard->of(trial)];
        if (status.shard && !status.shard->holds(trial)) continue;
        ++status.planned;
        if (const StoredRecord* stored = state.find(trial))
            count_trial(status, groups, tables.rows[row].axes, *stored);
    }
    for (auto& [kind, group] : groups) status.failures.push_back(std::move(group));
    std::ranges::stable_sort(status.failures, std::ranges::greater(),
                             [](const FailureGroup& group) { return group.trials.size(); });
    if (const auto started = seconds_of(status.started_utc); started > 0 && status.done_in_launch > 0) {
        status.elapsed_in_launch_s =
            std::max(1.0, static_cast<double>(seconds_of(status.last_result_utc) - started));
    }
    OwnerLook look = look_at_owner(folder.lock_file(), request);
    status.owner = std::move(look.owner);
    status.life = look.life;
    status.damaged_bytes = state.report().damaged_bytes;
    return status;
}

}  // namespace memcap::store
