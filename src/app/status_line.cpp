// Terminal and log forms of a status line.
#include "app/status_line.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "memcap/base/clock.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace {
constexpr double kTerminalInterval_s = 0.2;
}

StatusLine::StatusLine(double log_interval_s)
    : interval_s_(log_interval_s), terminal_(isatty(STDERR_FILENO) == 1) {
    if (terminal_) interval_s_ = kTerminalInterval_s;
}

bool StatusLine::due() {
    const double now_s = monotonic_s();
    if (last_s_ == 0.0) last_s_ = now_s;
    return now_s - last_s_ >= interval_s_;
}

void StatusLine::show(std::string_view line) {
    last_s_ = monotonic_s();
    if (!terminal_) {
        log::info(line);
        return;
    }
    // The cursor goes back, so that a message that comes next begins where the line began.
    fmt::print(stderr, "\r\033[K{}\r", line);
    std::fflush(stderr);
    shown_ = true;
}

void StatusLine::finish() {
    if (!shown_) return;
    fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
    shown_ = false;
}

}  // namespace memcap::app
