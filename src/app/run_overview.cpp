// Sums over the shards of a run.
#include "app/run_overview.hpp"

#include <algorithm>
#include <functional>

#include "app/shards.hpp"

namespace memcap::app {

namespace {

using store::RunActivity;
using store::RunStatus;

double left_s(const RunStatus& status) {
    return status.rate_per_s() > 0 ? static_cast<double>(status.open()) / status.rate_per_s() : -1.0;
}

/// Adds failures, those of one kind to each other.
void add_failures(RunStatus& total, const RunStatus& part) {
    for (const auto& group : part.failures) {
        const auto same = std::ranges::find(total.failures, group.kind, &store::FailureGroup::kind);
        if (same == total.failures.end()) {
            total.failures.push_back(group);
        } else {
            same->trials.insert(same->trials.end(), group.trials.begin(), group.trials.end());
        }
    }
    std::ranges::stable_sort(total.failures, std::ranges::greater(),
                             [](const store::FailureGroup& group) { return group.trials.size(); });
}

void add(RunStatus& total, const RunStatus& part) {
    if (part.started_utc >= total.started_utc) total.experiment = part.experiment;
    total.planned += part.planned;
    total.done += part.done;
    total.failed += part.failed;
    total.retryable += part.retryable;
    // Each shard lists what the whole plan leaves out.
    total.skipped = std::max(total.skipped, part.skipped);
    total.launches += part.launches;
    total.done_in_launch += part.done_in_launch;
    total.damaged_bytes += part.damaged_bytes;
    // UTC sorts as text.
    total.started_utc = std::max(total.started_utc, part.started_utc);
    total.last_result_utc = std::max(total.last_result_utc, part.last_result_utc);
    total.ended_utc = std::max(total.ended_utc, part.ended_utc);
    add_failures(total, part);
}

/// What is not over decides: a part that runs, one that died, one with open trials.
RunActivity activity_of(const RunOverview& overview) {
    const auto is_any = [&](RunActivity activity) {
        return std::ranges::find(overview.parts, activity, &RunPart::activity) != overview.parts.end();
    };
    for (const RunActivity activity : {RunActivity::running, RunActivity::dead, RunActivity::stopped}) {
        if (is_any(activity)) return activity;
    }
    if (overview.total.open() > 0) return RunActivity::stopped;
    return is_any(RunActivity::not_started) ? RunActivity::not_started : RunActivity::done;
}

void add_speed(RunOverview& overview) {
    const bool is_running = overview.activity == RunActivity::running;
    bool is_known = true;
    for (const RunPart& part : overview.parts) {
        if (is_running && part.activity != RunActivity::running) continue;
        overview.trials_per_s += part.status.rate_per_s();
        const double part_left_s = left_s(part.status);
        is_known &= part_left_s >= 0.0 || part.status.open() == 0;
        overview.left_s = std::max(overview.left_s, part_left_s);
    }
    if (!is_known) overview.left_s = -1.0;
}

/// The missing shards have their trials in the plan of each that has begun; the newest counts.
void add_missing(RunOverview& overview, const std::vector<std::uint32_t>& missing) {
    const auto newest = std::ranges::max_element(overview.parts, {},
                                                 [](const RunPart& part) { return part.status.started_utc; });
    for (const std::uint32_t index : missing) {
        overview.missing.push_back({.index = index, .planned = newest->status.planned_by_shard.at(index)});
        overview.total.planned += overview.missing.back().planned;
    }
}

}  // namespace

RunOverview overview_of(const std::string& folder) {
    const RunsOfFolder found = runs_of(folder);
    RunOverview overview;
    overview.are_shards = found.are_shards;
    for (const auto& run : found.runs) {
        RunStatus status = store::read_status(run);
        const RunActivity activity = store::activity(status);
        auto workers = read_workers(run, status.started_utc);
        overview.parts.push_back({run, std::move(status), activity, std::move(workers)});
    }
    for (const RunPart& part : overview.parts) add(overview.total, part.status);
    add_missing(overview, found.missing);
    overview.activity = activity_of(overview);
    if (overview.activity == RunActivity::running) overview.total.ended_utc.clear();
    add_speed(overview);
    return overview;
}

}  // namespace memcap::app
