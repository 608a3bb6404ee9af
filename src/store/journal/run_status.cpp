// Counting a run's trials from its journal.
#include "memcap/store/journal/run_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "memcap/base/errors.hpp"
#include "memcap/record/agreement.hpp"
#include "memcap/store/journal/index_file.hpp"
#include "memcap/store/journal/run_index.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/shards.hpp"
#include "store/journal/detail/utc_text.hpp"

namespace memcap::store {

namespace {

using detail::seconds_of;

/// Failed trials by what they have in common, in planned order.
using FailedTrials = std::map<std::string, std::vector<const IndexedTrial*>>;

record::Failure failure_of(const RunIndex& index, const IndexedTrial& trial) {
    return {.category = trial.category, .message = index.failure(trial.trial).message};
}

FailedTrials failed_trials(const RunIndex& index) {
    FailedTrials failed;
    for (const IndexedTrial& trial : index.trials()) {
        if (trial.planned() && trial.failed())
            failed[record::failure_kind(failure_of(index, trial))].push_back(&trial);
    }
    for (auto& [kind, trials] : failed)
        std::ranges::sort(trials, {}, [](const IndexedTrial* trial) { return trial->row; });
    return failed;
}

/// An index does not hold the axes of every trial that may fail.
class AxesOfTrials {
  public:
    AxesOfTrials(const RunFolder& folder, const RunIndex& index) : folder_(folder), index_(index) {}
    Axes of(const IndexedTrial& trial) {
        if (const auto& axes = index_.failure(trial.trial).axes) return *axes;
        if (!plans_) plans_ = read_plans(folder_, index_);
        const auto& rows = plans_->tables().rows;
        return trial.row < rows.size() ? rows[trial.row].axes : Axes{};
    }

  private:
    const RunFolder& folder_;
    const RunIndex& index_;
    std::optional<RunState> plans_;
};

std::vector<FailureGroup> failure_groups(const RunFolder& folder, const RunIndex& index) {
    std::vector<FailureGroup> groups;
    AxesOfTrials axes(folder, index);
    for (const auto& [kind, trials] : failed_trials(index)) {
        FailureGroup& group = groups.emplace_back();
        group.kind = kind;
        group.reason = record::failure_text(failure_of(index, *trials.front()));
        group.axes = axes.of(*trials.front());
        for (const IndexedTrial* trial : trials) group.trials.push_back(trial->trial);
    }
    std::ranges::stable_sort(groups, std::ranges::greater(),
                             [](const FailureGroup& group) { return group.trials.size(); });
    return groups;
}

void count_trials(RunStatus& status, const RunIndex& index) {
    const std::int64_t started_s = seconds_of(status.started_utc);
    std::int64_t last_s = 0;
    for (const IndexedTrial& trial : index.trials()) {
        if (!trial.planned()) continue;
        if (status.shard) ++status.planned_by_shard[status.shard->of(trial.trial)];
        if (status.shard && !status.shard->holds(trial.trial)) continue;
        ++status.planned;
        if (!trial.on_record) continue;
        status.done += trial.done() ? 1U : 0U;
        status.failed += trial.failed_for_good() ? 1U : 0U;
        status.retryable += trial.failed() && !trial.failed_for_good() ? 1U : 0U;
        if (trial.finished_s < started_s) continue;
        ++status.done_in_launch;
        last_s = std::max<std::int64_t>(last_s, trial.finished_s);
    }
    status.last_result_utc = last_s == 0 ? "" : detail::utc_of(last_s);
    if (started_s > 0 && status.done_in_launch > 0)
        status.elapsed_in_launch_s = std::max(1.0, static_cast<double>(last_s - started_s));
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

namespace {

RunIndex index_of(const RunFolder& folder) {
    if (auto found = read_index(folder, {}, TornTails::keep)) return std::move(found->index);
    const auto unchecked = [](const BulkPlace&) { return ArraysState::whole; };
    return RunIndex(replay(folder, unchecked, TornTails::keep));
}

}  // namespace

RunStatus read_status(const RunFolder& folder, const LockRequest& request) {
    folder.expect_run();
    const RunIndex index = index_of(folder);
    RunStatus status;
    status.experiment = index.plan().experiment;
    status.skipped = index.plan().skipped;
    status.launches = index.plan().launches;
    status.started_utc = index.plan().started_utc;
    status.ended_utc = index.plan().ended_utc;
    status.shard = read_shard(folder);
    status.planned_by_shard.resize(status.shard ? status.shard->count : 0);
    count_trials(status, index);
    status.failures = failure_groups(folder, index);
    OwnerLook look = look_at_owner(folder.lock_file(), request);
    status.owner = std::move(look.owner);
    status.life = look.life;
    status.damaged_bytes = index.damaged_bytes();
    return status;
}

}  // namespace memcap::store
