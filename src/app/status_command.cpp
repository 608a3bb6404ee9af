// memcap status: how far a run is, from its journal alone.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/live_line.hpp"
#include "app/options.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/store/journal/run_status.hpp"

namespace memcap::app {

namespace {

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
    require_run(parsed->files.front());
    const store::RunStatus status = store::read_status(store::RunFolder(parsed->files.front()));
    const double left_s =
        status.rate_per_s() > 0 ? static_cast<double>(status.open()) / status.rate_per_s() : -1.0;
    const bool running = activity(status) == store::RunActivity::running;
    if (parsed->has("json")) {
        const nlohmann::json out{{"experiment", status.experiment},
                                 {"planned", status.planned},
                                 {"done", status.done},
                                 {"failed", status.failed},
                                 {"retryable", status.retryable},
                                 {"open", status.open()},
                                 {"skipped", status.skipped},
                                 {"failures", failures_json(status)},
                                 {"launches", status.launches},
                                 {"state", to_string(activity(status))},
                                 {"running", running},
                                 {"host", running ? status.owner->host : ""},
                                 {"started_utc", status.started_utc},
                                 {"ended_utc", status.ended_utc},
                                 {"last_result_utc", status.last_result_utc},
                                 {"trials_per_s", status.rate_per_s()},
                                 {"left_s", left_s},
                                 {"damaged_bytes", status.damaged_bytes}};
        // A message may quote names of files, which need not be UTF-8.
        fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
        return kDone;
    }
    fmt::print("{}: {} of {} trials done, {} failed, {} open, {} skipped\n", status.experiment, status.done,
               status.planned, status.failed, status.open(), status.skipped);
    if (running) {
        fmt::print("running on {} since {}: {:.2f} trials/s, {} left\n", status.owner->host,
                   status.started_utc, status.rate_per_s(),
                   status.open() == 0 ? "nothing" : duration_text(left_s));
    } else if (const std::string death = death_text(status); !death.empty()) {
        fmt::print("{}\n", death);
    } else if (status.launches > 0) {
        fmt::print("not running; launch {} began {}, last result {}\n", status.launches, status.started_utc,
                   status.last_result_utc.empty() ? "none" : status.last_result_utc);
    }
    print_failures(status);
    if (status.damaged_bytes > 0)
        fmt::print("{} bytes of the journal are damaged: memcap rebuild says more\n", status.damaged_bytes);
    return kDone;
}

}  // namespace memcap::app
