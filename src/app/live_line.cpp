// Terminal and log forms of the live line.
#include "app/live_line.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "memcap/base/clock.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace {

std::string line_of(const sched::Progress& progress, std::int64_t steps) {
    const double steps_per_s = progress.elapsed_s > 0 ? static_cast<double>(steps) / progress.elapsed_s : 0.0;
    std::string line =
        fmt::format("{}/{} trials, {:.1f} trials/s, {:.0f} steps/s, {} left", progress.done + progress.failed,
                    progress.total, progress.tasks_per_s, steps_per_s, duration_text(progress.remaining_s));
    if (progress.failed > 0) line += fmt::format(", {} failed", progress.failed);
    if (progress.lost_workers > 0) line += fmt::format(", {} workers lost", progress.lost_workers);
    if (progress.stopping) line += ", stopping";
    return line;
}

}  // namespace

std::string duration_text(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0) return "unknown";
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    if (whole >= 3600) return fmt::format("{}h {:02}m", whole / 3600, whole % 3600 / 60);
    if (whole >= 60) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
    return fmt::format("{}s", whole);
}

LiveLine::LiveLine() : terminal_(isatty(STDERR_FILENO) == 1) {}

void LiveLine::show(const sched::Progress& progress, std::int64_t steps) {
    const double now_s = monotonic_s();
    const double interval_s = terminal_ ? 0.2 : 30.0;
    if (last_s_ == 0.0 && !terminal_) last_s_ = now_s;
    if (now_s - last_s_ < interval_s) return;
    last_s_ = now_s;
    const std::string line = line_of(progress, steps);
    if (!terminal_) {
        log::info(line);
        return;
    }
    // The cursor goes back, so that a message that comes next begins where the line began.
    fmt::print(stderr, "\r\033[K{}\r", line);
    std::fflush(stderr);
    shown_ = true;
}

void LiveLine::finish() {
    if (!shown_) return;
    fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
    shown_ = false;
}

}  // namespace memcap::app
