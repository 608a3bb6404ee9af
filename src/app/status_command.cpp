// memcap status: how far a run is, from its journal alone.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "app/amounts.hpp"
#include "app/live_line.hpp"
#include "app/options.hpp"
#include "app/run_overview.hpp"
#include "app/worker_lines.hpp"
#include "memcap/app/command_line.hpp"

namespace memcap::app {

namespace {

using store::RunActivity;

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

/// What a run does, or how it ended; empty before its first launch.
std::string life_text(const RunPart& part) {
    const store::RunStatus& status = part.status;
    if (part.activity == RunActivity::running) {
        const double rate = status.rate_per_s();
        const std::string left =
            status.open() == 0 ? "nothing"
                               : duration_text(rate > 0 ? static_cast<double>(status.open()) / rate : -1.0);
        return fmt::format("running on {} since {}: {:.2f} trials/s, {} left", status.owner->host,
                           status.owner->started_utc, rate, left);
    }
    if (const std::string death = death_text(status); !death.empty()) return death;
    if (status.launches == 0) return "";
    return fmt::format("{}; launch {} began {}, last result {}", to_string(part.activity), status.launches,
                       status.started_utc, status.last_result_utc.empty() ? "none" : status.last_result_utc);
}

/// Of a run that is done only the workers that were in trouble.
void print_workers(const RunPart& part) {
    std::vector<WorkerLine> shown = part.workers;
    if (part.activity == RunActivity::done)
        std::erase_if(shown, [](const WorkerLine& worker) { return !is_in_trouble(worker); });
    for (const auto& line : worker_lines(std::move(shown))) fmt::print("  {}\n", line);
}

void print_shards(const RunOverview& overview, const std::string& folder) {
    for (const RunPart& part : overview.parts) {
        const store::RunStatus& status = part.status;
        const std::string life = life_text(part);
        fmt::print("shard {}: {} of {} trials done, {} failed, {} open{}{}\n", status.shard->index,
                   status.done, status.planned, status.failed, status.open(), life.empty() ? "" : "; ", life);
        print_workers(part);
    }
    if (overview.missing.empty()) return;
    std::vector<std::uint32_t> indices;
    std::uint64_t planned = 0;
    for (const MissingShard& shard : overview.missing) {
        indices.push_back(shard.index);
        planned += shard.planned;
    }
    fmt::print("not begun, with {}: shard{} {}. memcap run FILE.yaml --out {} --shard {}/{} begins one\n",
               count_text(static_cast<std::int64_t>(planned), "trial"), indices.size() == 1 ? "" : "s",
               fmt::join(indices, ", "), folder, indices.front(),
               overview.parts.size() + overview.missing.size());
}

void print_overview(const RunOverview& overview, const std::string& folder) {
    const store::RunStatus& total = overview.total;
    fmt::print("{}: {} of {} trials done, {} failed, {} open, {} skipped\n", total.experiment, total.done,
               total.planned, total.failed, total.open(), total.skipped);
    if (overview.are_shards) {
        print_shards(overview, folder);
    } else {
        const std::string life = life_text(overview.parts.front());
        if (!life.empty()) fmt::print("{}\n", life);
        print_workers(overview.parts.front());
    }
    print_failures(total);
    if (total.damaged_bytes > 0)
        fmt::print("{} bytes of the journal are damaged: memcap rebuild says more\n", total.damaged_bytes);
}

}  // namespace

int show_status(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap status DIR [--json]",
        .purpose =
            "Says how far a run is, or all shards of one: from any host, without locks, also while it runs.",
        .options = boost::program_options::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("json", "print JSON");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const std::string& folder = parsed->files.front();
    const RunOverview overview = overview_of(folder);
    if (parsed->has("json")) {
        // A message may quote names of files, which need not be UTF-8.
        fmt::print("{}\n",
                   overview_json(overview).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
        return kDone;
    }
    print_overview(overview, folder);
    return kDone;
}

}  // namespace memcap::app
