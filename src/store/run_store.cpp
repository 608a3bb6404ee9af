// A run folder open for writing.
#include "memcap/store/run_store.hpp"

#include <fmt/format.h>

#include "memcap/base/clock.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/log.hpp"
#include "memcap/store/result_file.hpp"
#include "store/detail/array_library.hpp"
#include "store/detail/snapshot.hpp"

namespace memcap::store {

namespace {

void log_report(const RunFolder& folder, const JournalReport& report) {
    for (const auto& note : report.notes) log::warning(note);
    for (const auto& conflict : report.conflicts) log::warning(conflict);
    if (report.unreadable_frames > 0) {
        log::warning(fmt::format("{}: whole entries that could not be understood and were skipped: {}",
                                 folder.journal().string(), report.unreadable_frames));
    }
    if (report.unacknowledged > 0) {
        log::warning(
            fmt::format("{}: trials whose vectors did not reach the disk before the last stop, and which run "
                        "again: {}",
                        folder.journal().string(), report.unacknowledged));
    }
    if (report.missing_arrays > 0) {
        log::warning(
            fmt::format("{}: finished trials whose vectors and curves are gone or damaged: {}. Put the files "
                        "back, or compute these trials again in another folder (--out)",
                        folder.vectors().string(), report.missing_arrays));
    }
}

}  // namespace

std::string dropped_text(const std::string& reason, std::uint64_t count) {
    return fmt::format(
        "{} trial{} of this folder {} no row in results.h5 now: {}. The journal keeps {}: run with what it "
        "was "
        "before, and the rows are back; with another --out each has its own folder",
        count, count == 1 ? "" : "s", count == 1 ? "has" : "have", reason, count == 1 ? "it" : "them");
}

LockRequest lock_request(const OpenOptions& options) {
    LockRequest request;
    request.self.job_id = options.job_id;
    request.self.restart_count = options.restart_count;
    request.while_waiting = options.while_waiting;
    return request;
}

RunStore::RunStore(RunFolder folder, std::unique_ptr<FolderLock> lock, RunState state, JournalWriter journal,
                   detail::ArrayLibrary library)
    : folder_(std::move(folder)),
      lock_(std::move(lock)),
      state_(std::move(state)),
      journal_(std::move(journal)),
      library_(std::make_unique<detail::ArrayLibrary>(std::move(library))) {}

RunStore::RunStore(RunStore&&) noexcept = default;
RunStore& RunStore::operator=(RunStore&&) noexcept = default;
RunStore::~RunStore() = default;

RunStore RunStore::open(const std::filesystem::path& root, const OpenOptions& options) {
    const RunFolder folder(root);
    folder.create();
    auto lock = std::make_unique<FolderLock>(FolderLock::acquire(folder.lock_file(), lock_request(options)));
    auto library = detail::ArrayLibrary::open(folder);
    RunState state = replay(
        folder, [&library](const BulkPlace& place) { return library.check(place); }, TornTails::cut);
    log_report(folder, state.report());
    detail::finish_interrupted_work(folder, library);
    std::uint32_t last_bulk = state.last_bulk();
    const auto bulk_files = numbered_files(folder.journal(), ".bulk");
    if (!bulk_files.empty()) last_bulk = std::max(last_bulk, bulk_files.back());
    if (!library.segments().empty()) last_bulk = std::max(last_bulk, library.segments().rbegin()->first);
    lock->beat(monotonic_s());
    JournalWriter journal = JournalWriter::create(
        folder, state.run_id(),
        {.next_bulk = last_bulk + 1, .ends = state.segment_ends(), .before_new_file = [&held = *lock] {
             held.expect_held();
         }});
    return RunStore(folder, std::move(lock), std::move(state), std::move(journal), std::move(library));
}

std::optional<KnownTrial> RunStore::known(const Id128& trial) const {
    const StoredRecord* stored = state_.find(trial);
    const bool lost =
        stored != nullptr && stored->record.status == record::TrialStatus::done && !stored->final();
    if (stored == nullptr || lost) return std::nullopt;
    return KnownTrial{.status = stored->record.status,
                      .category = stored->record.failure.category,
                      .attempts = stored->attempts};
}

bool RunStore::is_shown(const record::RunTables& plan) const {
    if (!state_.is_current_plan(plan) || !std::filesystem::exists(folder_.results_file())) return false;
    try {
        const ResultFile shown = ResultFile::open(folder_.results_file());
        const auto& launches = state_.tables().launches;
        const auto& shown_launches = shown.tables().launches;
        const auto recorded = outcomes();
        if (launches.empty() || shown_launches.size() != launches.size() || shown.rows() != recorded.size() ||
            launches.back().ended_utc.empty() ||
            shown_launches.back().ended_utc != launches.back().ended_utc) {
            return false;
        }
        for (std::size_t row = 0; row < recorded.size(); ++row) {
            const record::TrialRecord& there = shown.numbers(row);
            const record::TrialRecord& here = *recorded[row].record;
            if (there.trial_id != here.trial_id || there.attempt != here.attempt ||
                there.status != here.status)
                return false;
        }
        return true;
    } catch (const DataError& problem) {
        log::warning(problem.what());
        return false;
    }
}

void RunStore::begin_launch(record::RunTables tables) {
    MEMCAP_EXPECT(tables.launches.size() == 1);
    keep_folder();
    if (state_.is_current_plan(tables)) {
        journal_.append(tables.launches.front());
    } else {
        // Twice, because without the plan no result has a row: one damaged block must not take it away.
        journal_.append(tables);
        journal_.append(tables);
    }
    journal_.sync();
    write_file_atomically(folder_.experiment_file(), tables.experiment_yaml);
    state_.add_tables(journal_.segment(), std::move(tables));
    for (const auto& [reason, count] : state_.dropped()) log::warning(dropped_text(reason, count));
}

void RunStore::update_launch(const record::LaunchRow& launch) {
    keep_folder();
    journal_.append(launch);
    journal_.sync();
    state_.add_launch(journal_.segment(), launch);
}

void RunStore::append(const record::TrialRecord& record) {
    lock_->expect_held(monotonic_s());
    const BulkPlace arrays = journal_.append(record);
    record::TrialRecord numbers = record;
    numbers.vector = {};
    numbers.curve = {};
    state_.add_result(std::move(numbers), arrays, ArraysState::whole);
}

void RunStore::sync() {
    keep_folder();
    journal_.sync();
}

SnapshotReport RunStore::snapshot() {
    lock_->expect_held();
    // Nothing may be shown in results.h5 that a crash could still take back.
    journal_.sync();
    journal_.end_bulk_file();
    detail::publish_bulk_files(folder_, state_, *library_, [this] { keep_folder(); });
    lock_->expect_held();
    return detail::write_snapshot(folder_, state_, *library_);
}

void RunStore::keep_folder() {
    const double now_s = monotonic_s();
    lock_->beat(now_s);
    lock_->expect_held(now_s);
}

void RunStore::close() {
    lock_->expect_held();
    journal_.sync();
    journal_.end_bulk_file();
    lock_->release();
}

std::vector<metrics::Outcome> RunStore::outcomes() const {
    std::vector<metrics::Outcome> outcomes;
    for (const ResultRow& row : state_.rows()) outcomes.push_back({&row.planned->axes, &row.stored->record});
    return outcomes;
}

std::vector<metrics::StatisticsRow> RunStore::statistics() const {
    std::vector<const Axes*> open;
    for (const record::PlannedRow* row : state_.open_rows()) open.push_back(&row->axes);
    return metrics::statistics(outcomes(), state_.tables().models, state_.tables().corpora, open);
}

}  // namespace memcap::store
