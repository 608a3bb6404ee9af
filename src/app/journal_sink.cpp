// From task results to journalled records.
#include "app/journal_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/log.hpp"
#include "memcap/record/agreement.hpp"

namespace memcap::app {

namespace {

record::FailureCategory category_of(sched::FailureCategory category) {
    switch (category) {
        case sched::FailureCategory::retryable:
        case sched::FailureCategory::host:
            return record::FailureCategory::retryable;
        case sched::FailureCategory::device_lost:
            return record::FailureCategory::device_lost;
        case sched::FailureCategory::permanent:
            break;
    }
    return record::FailureCategory::permanent;
}

store::AttemptEvent event_of(sched::AttemptEvent event) {
    switch (event) {
        case sched::AttemptEvent::started:
            return store::AttemptEvent::started;
        case sched::AttemptEvent::failed:
            return store::AttemptEvent::failed;
        case sched::AttemptEvent::crashed:
            return store::AttemptEvent::crashed;
        case sched::AttemptEvent::lost:
            return store::AttemptEvent::lost;
        case sched::AttemptEvent::given_back:
            break;
    }
    return store::AttemptEvent::given_back;
}

/// The record of a trial whose workers died: nobody else could write one.
record::TrialRecord record_of_lost_trial(const sched::Task& task, const sched::TaskResult& result) {
    record::TrialRecord record;
    record.trial_id = task.key;
    record.status = record::TrialStatus::failed;
    record.failure = {category_of(result.failure->category), result.failure->message};
    record.attempt = static_cast<std::int32_t>(result.attempt);
    record.finished_utc = utc_now();
    return record;
}

}  // namespace

JournalSink::JournalSink(store::RunStore& store, std::unordered_map<Id128, std::int32_t> former_attempts)
    : store_(store), former_attempts_(std::move(former_attempts)) {}

void JournalSink::append(const sched::Task& task, const sched::TaskResult& result) {
    record::TrialRecord record =
        result.payload.empty() ? record_of_lost_trial(task, result) : record::decode_record(result.payload);
    if (const auto former = former_attempts_.find(record.trial_id); former != former_attempts_.end()) {
        record.attempt += former->second;
    }
    steps_ += std::max(0, record.evaluations);
    if (record.status == record::TrialStatus::failed &&
        warned_.insert(record::failure_kind(record.failure)).second) {
        log::warning(fmt::format(
            "trial {} failed: {}; further failures of this kind are counted only, and "
            "memcap status {} names them",
            record.trial_id.hex(), record::failure_text(record.failure), store_.folder().root().string()));
    }
    store_.append(record);
}

void JournalSink::crashed(const sched::Task& task, const std::string& reason) {
    store_.crashed(task.key, reason);
}

void JournalSink::checkpoint(const sched::Task& task, std::span<const std::byte> state) {
    store_.checkpoint(task.key, state);
}

std::optional<Bytes> JournalSink::checkpoint_for(const sched::Task& task) {
    auto state = store_.checkpoint_of(task.key);
    if (state) resumed_.insert(task.key);
    return state;
}

void JournalSink::attempted(const sched::AttemptNote& note) {
    store::AttemptsPayload payload{.event = event_of(note.event),
                                   .utc = utc_now(),
                                   .rank = note.rank,
                                   .host = note.host,
                                   .device = note.device,
                                   .reason = note.reason,
                                   .attempts = {}};
    store::AttemptsPayload resumed = payload;
    resumed.event = store::AttemptEvent::resumed;
    for (const auto& attempt : note.attempts) {
        const auto former = former_attempts_.find(attempt.task);
        const std::int32_t before = former == former_attempts_.end() ? 0 : former->second;
        const bool goes_on = note.event == sched::AttemptEvent::started && resumed_.erase(attempt.task) > 0;
        (goes_on ? resumed : payload)
            .attempts.push_back({attempt.task, before + static_cast<std::int32_t>(attempt.number)});
    }
    for (const auto* part : {&payload, &resumed}) {
        if (!part->attempts.empty()) store_.attempted(*part);
    }
}

void JournalSink::sync() {
    store_.sync();
    exporter_.step(store_);
}

}  // namespace memcap::app
