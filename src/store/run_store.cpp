// A run folder open for writing.
#include "memcap/store/run_store.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

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

std::string lost_text(const SnapshotReport& report) {
    if (report.lost_segments.empty()) return "";
    constexpr std::size_t kNamed = 10;
    const auto named = std::min(kNamed, report.lost_segments.size());
    std::string names =
        fmt::format("{}", fmt::join(report.lost_segments.begin(),
                                    report.lost_segments.begin() + static_cast<std::ptrdiff_t>(named), ", "));
    if (named < report.lost_segments.size())
        names += fmt::format(" and {} more", report.lost_segments.size() - named);
    return fmt::format(
        "{} {} missing or damaged. Put back a copy and do this again; without one, a run of the "
        "experiment into another folder (--out) makes these vectors anew",
        names, report.lost_segments.size() == 1 ? "is" : "are");
}

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
                   Checkpoints checkpoints, detail::ArrayLibrary library)
    : folder_(std::move(folder)),
      lock_(std::move(lock)),
      state_(std::move(state)),
      journal_(std::move(journal)),
      checkpoints_(std::move(checkpoints)),
      opened_s_(monotonic_s()),
      ended_bulk_s_(opened_s_),
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
    auto checkpoints = Checkpoints::open(folder.checkpoints(), [&state](const Id128& trial) {
        const StoredRecord* stored = state.find(trial);
        return stored == nullptr || !stored->final();
    });
    return RunStore(folder, std::move(lock), std::move(state), std::move(journal), std::move(checkpoints),
                    std::move(library));
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
        tell_earlier_rows();
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
    tell_earlier_rows();
}

void RunStore::tell_earlier_rows() const {
    const auto& rows = state_.tables().rows;
    if (rows.size() == state_.planned_rows()) return;  // a million ids need not be gathered for nothing
    std::unordered_set<Id128> planned;
    for (std::size_t row = 0; row < state_.planned_rows(); ++row) planned.insert(rows[row].trial_id);
    std::unordered_set<Id128> earlier;
    for (std::size_t row = state_.planned_rows(); row < rows.size(); ++row) {
        const Id128& trial = rows[row].trial_id;
        if (!planned.contains(trial) && state_.find(trial) != nullptr) earlier.insert(trial);
    }
    if (earlier.empty()) return;
    log::info(fmt::format(
        "{}: results of {} trial{} that an earlier launch ran and this experiment does not ask for stay, and "
        "count in the table and in results.h5; a new folder (--out) has those of this experiment alone",
        folder_.root().string(), earlier.size(), earlier.size() == 1 ? "" : "s"));
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
    checkpoints_.drop(record.trial_id);
    record::TrialRecord numbers = record;
    numbers.vector = {};
    numbers.curve = {};
    state_.add_result(std::move(numbers), arrays, ArraysState::whole);
}

void RunStore::crashed(const Id128& trial, const std::string& reason) {
    lock_->expect_held(monotonic_s());
    journal_.append_crash(trial, reason);
    state_.add_crash(trial);
}

void RunStore::attempted(const AttemptsPayload& attempts) {
    lock_->expect_held(monotonic_s());
    journal_.append(attempts);
}

void RunStore::checkpoint(const Id128& trial, std::span<const std::byte> state) {
    lock_->expect_held(monotonic_s());
    checkpoints_.put(trial, state);
}

void RunStore::sync() {
    keep_folder();
    checkpoints_.sync();
    journal_.sync();
}

SnapshotReport RunStore::snapshot() {
    lock_->expect_held();
    // Nothing may be shown in results.h5 that a crash could still take back.
    journal_.sync();
    journal_.end_bulk_file();
    // Exports of this run have made segments since the folder was opened, and one may have been ended.
    *library_ = detail::ArrayLibrary::open(folder_);
    detail::finish_interrupted_work(folder_, *library_);
    detail::publish_bulk_files(folder_, state_, *library_, journal_.first_open_bulk(),
                               [this] { keep_folder(); });
    lock_->expect_held();
    return detail::write_snapshot(folder_, state_, *library_);
}

void RunStore::keep_folder() {
    const double now_s = monotonic_s();
    lock_->beat(now_s);
    lock_->expect_held(now_s);
}

std::uint32_t RunStore::end_large_bulk_file() {
    constexpr std::uint64_t kLargeBytes = std::uint64_t{256} << 20U;
    // Early vectors are shown soon, later ones after a quarter more of the time that the launch has taken.
    constexpr double kGrowth = 1.25;
    const double now_s = monotonic_s();
    const bool is_old = now_s - opened_s_ > kGrowth * (ended_bulk_s_ - opened_s_);
    journal_.sync();
    if (is_old || journal_.bulk_bytes() >= kLargeBytes) {
        journal_.end_bulk_file();
        ended_bulk_s_ = now_s;
    }
    return journal_.first_open_bulk();
}

SnapshotReport export_results(const std::filesystem::path& root, std::uint32_t bulk_end) {
    const RunFolder folder(root);
    const auto writer = read_lock(folder.lock_file());
    const auto keep_folder = [&folder, &writer] {
        const auto now = read_lock(folder.lock_file());
        if (writer && now && now->token == writer->token) return;
        throw StoreError(folder.root(), {.what = "the run for which results.h5 was made has lost its folder",
                                         .where = {},
                                         .why = {},
                                         .advice = {}});
    };
    auto library = detail::ArrayLibrary::open(folder);
    const RunState state = replay(
        folder, [&library](const BulkPlace& place) { return library.check(place); }, TornTails::keep);
    detail::publish_bulk_files(folder, state, library, bulk_end, keep_folder);
    keep_folder();
    return detail::write_snapshot(folder, state, library);
}

void RunStore::close() {
    lock_->expect_held();
    journal_.sync();
    journal_.end_bulk_file();
    checkpoints_.close();
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
