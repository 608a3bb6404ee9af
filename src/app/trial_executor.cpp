// The loop of a rank's compute thread.
#include "app/trial_executor.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/plan/codec.hpp"

namespace memcap::app {

namespace {

constexpr double kIdleWait_s = 0.2;

sched::FailureCategory category_of(record::FailureCategory category) {
    switch (category) {
        case record::FailureCategory::retryable:
            return sched::FailureCategory::retryable;
        case record::FailureCategory::device_lost:
            return sched::FailureCategory::device_lost;
        case record::FailureCategory::permanent:
            break;
    }
    return sched::FailureCategory::permanent;
}

}  // namespace

memory::SlotsOptions slots_options(const WorkerSetup& setup) {
    return {.slots = setup.slots.value_or(kMostSlots),
            .position_budget = setup.slots ? 0 : kPositionBudget,
            .keep_vectors = setup.keep_vectors,
            .curve_every = setup.curve_every};
}

TrialExecutor::TrialExecutor(WorkerSetup setup, ExecutorPlace place)
    : setup_(std::move(setup)),
      place_(std::move(place)),
      loader_(setup_.weights, place_.nodes, *place_.exchange) {}

TrialExecutor::~TrialExecutor() = default;

void TrialExecutor::run(sched::WorkPort& port) {
    at::set_num_threads(place_.threads);
    try {
        work(port);
    } catch (const c10::Error& problem) {
        throw DeviceError({.what = problem.what_without_backtrace(),
                           .where = place_.device.str(),
                           .why = {},
                           .advice = {}});
    }
}

void TrialExecutor::work(sched::WorkPort& port) {
    while (!port.stop_requested()) {
        fetch(port);
        fill_slots(port);
        if (running_.empty()) {
            if (pending_.empty() && port.closed()) return;
            continue;
        }
        advance(port);
    }
}

/// How many more trials fit beside those that run and wait here.
std::size_t TrialExecutor::wanted() const {
    const auto options = slots_options(setup_);
    std::int64_t longest = 0;
    for (const auto& pending : pending_) longest = std::max<std::int64_t>(longest, pending.trial.positions());
    for (const auto& [id, running] : running_) longest = std::max<std::int64_t>(longest, running.positions);
    std::int64_t slots = options.slots;
    if (longest == 0) {
        // The first trial's length is unknown: a few come first, the next call asks for the rest.
        constexpr std::int64_t kFirst = 8;
        slots = std::min(slots, kFirst);
    } else if (options.position_budget > 0) {
        slots = std::clamp<std::int64_t>(options.position_budget / longest, 1, slots);
    }
    const auto held = static_cast<std::int64_t>(running_.size() + pending_.size());
    return static_cast<std::size_t>(std::max<std::int64_t>(0, slots - held));
}

void TrialExecutor::fetch(sched::WorkPort& port) {
    // Trials of another model wait here until the running ones have ended.
    if (!pending_.empty() && engine_ && !matches_loaded(pending_.front().trial)) return;
    const std::size_t most = wanted();
    if (most == 0) return;
    const bool idle = running_.empty() && pending_.empty();
    for (auto& leased : port.take(most, idle ? kIdleWait_s : 0.0)) {
        try {
            plan::Trial trial = plan::decode_trial(leased.task.payload);
            pending_.push_back({std::move(leased), std::move(trial)});
        } catch (const Error& problem) {
            fail(port, {leased.task.id, leased.attempt, 0}, leased.task.key,
                 record::FailureCategory::permanent, problem.what());
        }
    }
}

bool TrialExecutor::matches_loaded(const plan::Trial& trial) const {
    return model_ && trial.model == model_index_ && trial.precision == precision_;
}

bool TrialExecutor::load_model_of(const plan::Trial& trial, const sched::WorkPort& port,
                                  std::string& problem) {
    engine_.reset();
    model_.reset();
    const std::string& folder = setup_.model_folders.at(static_cast<std::size_t>(trial.model));
    try {
        model_ =
            loader_.load(folder, trial.precision, place_.device, [&port] { return port.stop_requested(); });
        // On a GPU float32 means float32 unless tf32 is asked for.
        at::globalContext().setAllowTF32CuBLAS(trial.precision == Precision::tf32);
    } catch (const DataError& error) {
        problem = error.what();
        return false;
    }
    model_index_ = trial.model;
    precision_ = trial.precision;
    engine_ = std::make_unique<memory::SlotsEngine>(*model_, slots_options(setup_));
    return true;
}

void TrialExecutor::fill_slots(sched::WorkPort& port) {
    while (!pending_.empty()) {
        Pending& next = pending_.front();
        const Running identity{next.leased.task.id, next.leased.attempt, next.trial.positions()};
        if (!matches_loaded(next.trial)) {
            if (!running_.empty()) return;
            std::string problem;
            if (!load_model_of(next.trial, port, problem)) {
                fail(port, identity, next.trial.id, record::FailureCategory::retryable, problem);
                pending_.pop_front();
                continue;
            }
        }
        if (!engine_->has_room(next.trial.positions())) return;
        const Id128 id = next.trial.id;
        engine_->enter(std::move(next.trial));
        running_.emplace(id, identity);
        pending_.pop_front();
    }
}

void TrialExecutor::advance(sched::WorkPort& port) {
    std::vector<record::TrialRecord> ended;
    const auto fail_running = [&](record::FailureCategory category, const std::string& message) {
        for (const auto& [id, running] : running_) fail(port, running, id, category, message);
        running_.clear();
        engine_.reset();
        model_.reset();
    };
    try {
        ended = engine_->step();
    } catch (const c10::OutOfMemoryError& problem) {
        fail_running(record::FailureCategory::retryable,
                     fmt::format("out of memory: {}", problem.what_without_backtrace()));
        return;
    } catch (const std::bad_alloc&) {
        fail_running(record::FailureCategory::retryable, "out of memory: set run.slots to fewer slots");
        return;
    }
    for (auto& record : ended) {
        const auto found = running_.find(record.trial_id);
        const Running running = found->second;
        running_.erase(found);
        finish(port, running, std::move(record));
    }
}

void TrialExecutor::finish(sched::WorkPort& port, const Running& running, record::TrialRecord record) const {
    record.rank = place_.rank;
    record.host = place_.host;
    record.device = device_name(place_.device, place_.threads);
    record.attempt = static_cast<std::int32_t>(running.attempt);
    record.finished_utc = utc_now();
    sched::TaskResult result{
        .task = running.task, .attempt = running.attempt, .failure = {}, .payload = record::encode(record)};
    if (record.status == record::TrialStatus::failed) {
        result.failure = sched::TaskFailure{category_of(record.failure.category), record.failure.message};
    }
    port.finish(std::move(result));
}

void TrialExecutor::fail(sched::WorkPort& port, const Running& running, const Id128& trial,
                         record::FailureCategory category, const std::string& message) const {
    record::TrialRecord record;
    record.trial_id = trial;
    record.status = record::TrialStatus::failed;
    record.failure = {category, message};
    finish(port, running, std::move(record));
}

}  // namespace memcap::app
