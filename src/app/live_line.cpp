// What the live line says.
#include "app/live_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/amounts.hpp"

namespace memcap::app {

namespace {

std::string line_of(const sched::Progress& progress, std::int64_t steps) {
    const double steps_per_s = progress.elapsed_s > 0 ? static_cast<double>(steps) / progress.elapsed_s : 0.0;
    std::string line = fmt::format("{}/{}, {:.1f} trials/s, {:.0f} steps/s, {} left",
                                   progress.done + progress.failed, count_text(progress.total, "trial"),
                                   progress.tasks_per_s, steps_per_s, duration_text(progress.remaining_s));
    if (progress.failed > 0) line += fmt::format(", {} failed", progress.failed);
    if (progress.lost_workers > 0)
        line += fmt::format(", {} lost", count_text(progress.lost_workers, "worker"));
    if (progress.stopping) line += ", stopping";
    return line;
}

}  // namespace

std::string duration_text(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0) return "unknown";
    // Beyond that a year more or less says nothing, and the number would not fit.
    constexpr double kLongest_s = 1e15;
    const auto whole = static_cast<std::int64_t>(std::llround(std::min(seconds, kLongest_s)));
    constexpr std::int64_t kHour_s = 3600;
    const std::int64_t hours = whole / kHour_s;
    if (hours >= 48) return fmt::format("{}d {:02}h", grouped(hours / 24), hours % 24);
    if (whole >= kHour_s) return fmt::format("{}h {:02}m", hours, whole % kHour_s / 60);
    if (whole >= 60) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
    return fmt::format("{}s", whole);
}

void LiveLine::show(const sched::Progress& progress, std::int64_t steps) {
    if (line_.due()) line_.show(line_of(progress, steps));
}

}  // namespace memcap::app
