// What people read of workers.
#include "app/worker_lines.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/amounts.hpp"

namespace memcap::app {

namespace {

std::string line_of(const WorkerLine& worker) {
    std::string line = fmt::format("{}: {}, {} done", place_text(worker.rank, worker.host, worker.device),
                                   worker.state, count_text(static_cast<std::int64_t>(worker.done), "trial"));
    if (worker.failed > 0) line += fmt::format(", {} failed", worker.failed);
    if (worker.trials_per_s > 0) line += fmt::format(", {:.3g}/s", worker.trials_per_s);
    if (worker.running > 0) line += fmt::format(", computes {}", worker.running);
    if (!worker.deed.empty())
        line += fmt::format("; {} {} {}", worker.deed, worker.deed_trial.substr(0, 8), worker.deed_utc);
    if (!worker.last_sign_utc.empty()) line += fmt::format("; last heard of {}", worker.last_sign_utc);
    if (is_in_trouble(worker)) line += fmt::format("; {}", worker.why);
    return line;
}

}  // namespace

bool is_in_trouble(const WorkerLine& worker) {
    return worker.state == "barred" || worker.state == "lost" || worker.state == "failed";
}

std::string place_text(std::int32_t rank, const std::string& host, const std::string& device) {
    std::string place = host;
    if (!device.empty()) place += (place.empty() ? "" : ", ") + device;
    return place.empty() ? fmt::format("rank {}", rank) : fmt::format("rank {} ({})", rank, place);
}

std::vector<std::string> worker_lines(std::vector<WorkerLine> workers) {
    constexpr std::size_t kShown = 40;
    std::ranges::stable_partition(workers, is_in_trouble);
    std::vector<std::string> lines;
    for (const WorkerLine& worker : workers) {
        if (lines.size() == kShown) {
            lines.push_back(
                fmt::format("and {} more workers: --json lists all", workers.size() - lines.size()));
            break;
        }
        lines.push_back(line_of(worker));
    }
    return lines;
}

std::vector<std::string> idle_lines(const std::vector<WorkerLine>& workers) {
    std::vector<std::string> lines;
    for (const WorkerLine& worker : workers) {
        if (!worker.is_idle()) continue;
        const std::string what = worker.running == 0 ? worker.state
                                                     : fmt::format("computes {} and could start {} more",
                                                                   worker.running, worker.free_slots);
        lines.push_back(
            fmt::format("{}: {}: {}", place_text(worker.rank, worker.host, worker.device), what, worker.why));
    }
    return lines;
}

}  // namespace memcap::app
