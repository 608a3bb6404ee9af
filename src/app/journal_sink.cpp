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

void JournalSink::sync() {
    store_.sync();
    exporter_.step(store_);
}

}  // namespace memcap::app
