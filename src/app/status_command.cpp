// memcap status: how far a run is, from its journal alone.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/live_line.hpp"
#include "app/options.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/store/journal/run_status.hpp"

namespace memcap::app {

namespace {

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

nlohmann::json owner_json(const store::RunStatus& status) {
    if (!status.owner) return nullptr;
    const store::LockOwner& owner = *status.owner;
    return {{"host", owner.host},
            {"pid", owner.pid},
            {"job_id", owner.job_id},
            {"restart_count", owner.restart_count},
            {"started_utc", owner.started_utc}};
}

nlohmann::json failures_json(const store::RunStatus& status) {
    nlohmann::json failures = nlohmann::json::array();
    for (const auto& group : status.failures) {
        nlohmann::json ids = nlohmann::json::array();
        for (const Id128& trial : group.trials) ids.push_back(trial.hex());
        failures.push_back({{"reason", group.reason}, {"count", group.trials.size()}, {"ids", ids}});
    }
    return failures;
}

void print_failures(const store::RunStatus& status) {
    constexpr std::size_t kShown = 5;
    for (const auto& group : status.failures) {
        const Axes& axes = group.axes;
        fmt::print("{} failed: {}\n", group.trials.size(), group.reason);
        fmt::print("  first: {}, {} {}, seed {}, K = {}, N = {}, protocol {}, {}\n", axes.model, axes.corpus,
                   axes.sample, axes.seed, axes.memory_vectors, axes.length, axes.protocol,
                   to_string(axes.precision));
        for (std::size_t i = 0; i < std::min(kShown, group.trials.size()); ++i)
            fmt::print("  {}\n", group.trials[i].hex());
        if (group.trials.size() > kShown)
            fmt::print("  and {} more: --json lists all\n", group.trials.size() - kShown);
    }
}

double left_s(const store::RunStatus& status) {
    return status.rate_per_s() > 0 ? static_cast<double>(status.open()) / status.rate_per_s() : -1.0;
}

nlohmann::json status_json(const store::RunStatus& status, const std::string& state,
                           const store::RunFolder& folder) {
    const bool running = state == "running";
    const bool shown = std::filesystem::exists(folder.results_file());
    return {{"experiment", status.experiment},
            {"state", state},
            {"planned", status.planned},
            {"done", status.done},
            {"failed", status.failed},
            {"retryable", status.retryable},
            {"open", status.open()},
            {"skipped", status.skipped},
            {"failures", failures_json(status)},
            {"launches", status.launches},
            {"done_in_launch", status.done_in_launch},
            {"running", running},
            {"host", running ? status.owner->host : ""},
            {"owner", owner_json(status)},
            {"started_utc", status.started_utc},
            {"ended_utc", status.ended_utc},
            {"last_result_utc", status.last_result_utc},
            {"last_progress_utc", status.last_result_utc},
            {"last_change_utc", last_change_utc(folder)},
            {"results", shown ? std::filesystem::absolute(folder.results_file()).string() : ""},
            {"trials_per_s", status.rate_per_s()},
            {"left_s", left_s(status)},
            {"damaged_bytes", status.damaged_bytes}};
}

void print_status(const store::RunStatus& status, const std::string& state) {
    fmt::print("{}: {} of {} trials done, {} failed, {} open, {} skipped\n", status.experiment, status.done,
               status.planned, status.failed, status.open(), status.skipped);
    const std::string last = status.last_result_utc.empty() ? "none" : status.last_result_utc;
    if (state == "running") {
        fmt::print("running on {} since {}: {:.2f} trials/s, {} left\n", status.owner->host,
                   status.owner->started_utc, status.rate_per_s(),
                   status.open() == 0 ? "nothing" : duration_text(left_s(status)));
    } else if (const std::string death = death_text(status); !death.empty()) {
        fmt::print("{}\n", death);
    } else if (status.launches > 0) {
        fmt::print("{}; launch {} began {}, last result {}\n", state, status.launches, status.started_utc,
                   last);
    }
    print_failures(status);
    if (status.damaged_bytes > 0)
        fmt::print("{} bytes of the journal are damaged: memcap rebuild says more\n", status.damaged_bytes);
}

}  // namespace

int show_status(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap status DIR [--json]",
        .purpose = "Says how far a run is: from any host, without locks, also while it runs.",
        .options = boost::program_options::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("json", "print JSON");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const store::RunFolder folder(parsed->files.front());
    const store::RunStatus status = store::read_status(folder);
    const std::string state(to_string(activity(status)));
    if (parsed->has("json")) {
        // A message may quote names of files, which need not be UTF-8.
        const auto said = status_json(status, state, folder);
        fmt::print("{}\n", said.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
        return kDone;
    }
    print_status(status, state);
    return kDone;
}

}  // namespace memcap::app
