// What `memcap status --json` prints.
#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <filesystem>

#include "app/run_overview.hpp"
#include "memcap/base/clock.hpp"

namespace memcap::app {

namespace {

using nlohmann::json;

/// When the journal last grew; empty if it has no file. Other programs touch nothing in it.
std::string last_change_utc(const store::RunFolder& folder) {
    std::time_t last_s = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder.journal(), ignored)) {
        struct stat facts {};
        if (entry.path().extension() == ".log" && ::stat(entry.path().c_str(), &facts) == 0)
            last_s = std::max(last_s, facts.st_mtime);
    }
    return last_s == 0 ? "" : utc_text(last_s);
}

json owner_json(const store::RunStatus& status) {
    if (!status.owner) return nullptr;
    const store::LockOwner& owner = *status.owner;
    return {{"host", owner.host},
            {"pid", owner.pid},
            {"job_id", owner.job_id},
            {"restart_count", owner.restart_count},
            {"started_utc", owner.started_utc}};
}

json failures_json(const store::RunStatus& status) {
    json failures = json::array();
    for (const auto& group : status.failures) {
        json ids = json::array();
        for (const Id128& trial : group.trials) ids.push_back(trial.hex());
        failures.push_back({{"reason", group.reason}, {"count", group.trials.size()}, {"ids", ids}});
    }
    return failures;
}

/// What a run and its shards have alike.
json counts_json(const store::RunStatus& status, store::RunActivity activity) {
    return {{"experiment", status.experiment},
            {"state", std::string(to_string(activity))},
            {"running", activity == store::RunActivity::running},
            {"planned", status.planned},
            {"done", status.done},
            {"failed", status.failed},
            {"retryable", status.retryable},
            {"open", status.open()},
            {"skipped", status.skipped},
            {"failures", failures_json(status)},
            {"launches", status.launches},
            {"done_in_launch", status.done_in_launch},
            {"started_utc", status.started_utc},
            {"ended_utc", status.ended_utc},
            {"last_result_utc", status.last_result_utc},
            {"last_progress_utc", status.last_result_utc},
            {"damaged_bytes", status.damaged_bytes}};
}

/// What only a folder with a writer of its own has.
void add_place(json& said, const RunPart& part) {
    const bool is_running = part.activity == store::RunActivity::running;
    const bool is_shown = std::filesystem::exists(part.folder.results_file());
    said["host"] = is_running ? part.status.owner->host : "";
    said["owner"] = owner_json(part.status);
    said["results"] = is_shown ? std::filesystem::absolute(part.folder.results_file()).string() : "";
}

json worker_json(const WorkerLine& worker) {
    return {{"rank", worker.rank},
            {"host", worker.host},
            {"device", worker.device},
            {"state", worker.state},
            {"done", worker.done},
            {"failed", worker.failed},
            {"running", worker.running},
            {"queued", worker.queued},
            {"free_slots", worker.free_slots},
            {"trials_per_s", worker.trials_per_s},
            {"last_sign_utc", worker.last_sign_utc},
            {"last_deed", worker.deed},
            {"last_deed_utc", worker.deed_utc},
            {"last_trial", worker.deed_trial},
            {"why", worker.why}};
}

/// The workers of all parts; those of shards say of which.
json workers_json(const RunOverview& overview) {
    json workers = json::array();
    for (const RunPart& part : overview.parts) {
        for (const WorkerLine& worker : part.workers) {
            workers.push_back(worker_json(worker));
            if (part.status.shard) workers.back()["shard"] = part.status.shard->index;
        }
    }
    return workers;
}

json shard_json(const RunPart& part) {
    json said = counts_json(part.status, part.activity);
    add_place(said, part);
    said["shard"] = part.status.shard->index;
    said["last_change_utc"] = last_change_utc(part.folder);
    said["trials_per_s"] = part.status.rate_per_s();
    return said;
}

json missing_json(const MissingShard& shard) {
    return {{"shard", shard.index},
            {"state", "not started"},
            {"running", false},
            {"planned", shard.planned},
            {"open", shard.planned},
            {"done", 0},
            {"failed", 0}};
}

}  // namespace

json overview_json(const RunOverview& overview) {
    json said = counts_json(overview.total, overview.activity);
    said["trials_per_s"] = overview.trials_per_s;
    said["left_s"] = overview.left_s;
    std::string last_change;
    for (const RunPart& part : overview.parts)
        last_change = std::max(last_change, last_change_utc(part.folder));
    said["last_change_utc"] = last_change;
    said["workers"] = workers_json(overview);
    said["shards"] = json::array();
    if (!overview.are_shards) {
        add_place(said, overview.parts.front());
        return said;
    }
    said["host"] = "";
    said["owner"] = nullptr;
    said["results"] = "";
    for (const RunPart& part : overview.parts) said["shards"].push_back(shard_json(part));
    for (const MissingShard& shard : overview.missing) said["shards"].push_back(missing_json(shard));
    return said;
}

}  // namespace memcap::app
