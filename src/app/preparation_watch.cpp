// The thread beside the preparation.
#include "app/preparation_watch.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "app/amounts.hpp"
#include "app/signals.hpp"
#include "app/status_line.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace {

constexpr double kLogInterval_s = 5.0;
constexpr std::chrono::milliseconds kLook{100};
/// How long the preparation may take to see a signal by itself: less than launchers wait before they kill.
constexpr double kPatience_s = 0.5;

}  // namespace

PreparationWatch::PreparationWatch(const std::atomic<bool>& stop, std::string when)
    : stop_(stop), when_(std::move(when)), thread_([this] { watch(); }) {}

void PreparationWatch::finish() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        is_ended_ = true;
    }
    ended_.notify_all();
    thread_.join();
}

void PreparationWatch::at(const std::string& step, std::uint64_t done, std::uint64_t total) {
    check();
    const std::lock_guard lock(mutex_);
    step_ = step;
    done_ = done;
    total_ = total;
}

void PreparationWatch::check() const {
    if (stop_.load()) throw PreparationStopped(sentence());
}

std::string PreparationWatch::sentence() const {
    const std::string name = stop_signal_name();
    return fmt::format("stopped by {} {}", name.empty() ? "a signal" : name, when_);
}

std::string PreparationWatch::line() const {
    if (total_ == 0) return step_;
    return fmt::format("{}: {} of {}", step_, grouped(static_cast<std::int64_t>(done_)),
                       grouped(static_cast<std::int64_t>(total_)));
}

void PreparationWatch::watch() {
    StatusLine status(kLogInterval_s);
    double stopped_s = 0.0;
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, kLook, [this] { return is_ended_; })) {
        if (status.due() && !step_.empty()) status.show(line());
        if (!stop_.load() || !may_exit_) continue;
        if (stopped_s == 0.0) stopped_s = monotonic_s();
        if (monotonic_s() - stopped_s < kPatience_s) continue;
        status.finish();
        log::warning(sentence());
        // No destructors: they would wait for the very thing that hangs.
        _exit(kWorkRemains);
    }
    status.finish();
}

}  // namespace memcap::app
