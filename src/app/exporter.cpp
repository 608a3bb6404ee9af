// When exports start, and how they end.
#include "app/exporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace {

constexpr double kEvery_s = 180.0;
// An export reads the whole journal: at most a twentieth of the time.
constexpr double kTimesItsLength = 20.0;
// At the end results.h5 is made anew anyway.
constexpr double kPatience_s = 5.0;
constexpr std::chrono::milliseconds kGlance{10};

}  // namespace

Exporter::Exporter() : next_s_(monotonic_s() + kEvery_s) {}

Exporter::~Exporter() = default;

void Exporter::step(store::RunStore& store) {
    note_end();
    const double now_s = monotonic_s();
    if (process_ || now_s < next_s_) return;
    const std::uint32_t end = store.end_large_bulk_file();
    started_s_ = now_s;
    next_s_ = now_s + kEvery_s;
    try {
        process_ = std::make_unique<agent::ChildProcess>(
            agent::this_program({"export", store.folder().root().string(), std::to_string(end)}));
    } catch (const ToolError& problem) {
        log::warning(problem.what());
    }
}

/// The journal is the record: an export that failed is made up for by the next one, or at the end.
void Exporter::note_end() {
    if (!process_) return;
    const auto ending = process_->ending();
    if (!ending) return;
    if (*ending != "ended with status 0")
        log::warning(fmt::format("results.h5 was not brought up to date: its process {}", *ending));
    process_.reset();
    next_s_ = monotonic_s() + std::max(kEvery_s, kTimesItsLength * (monotonic_s() - started_s_));
}

void Exporter::finish(store::RunStore& store) {
    const double until_s = monotonic_s() + kPatience_s;
    while (process_ && monotonic_s() < until_s) {
        note_end();
        store.beat(monotonic_s());
        std::this_thread::sleep_for(kGlance);
    }
    process_.reset();
}

}  // namespace memcap::app
