// What `memcap status --json` prints.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>

#include "app/run_overview.hpp"

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
    std::tm parts{};
    if (last_s == 0 || ::gmtime_r(&last_s, &parts) == nullptr) return "";
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text.data();
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
