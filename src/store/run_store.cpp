// A run folder open for writing, and the exports of it.
#include "memcap/store/run_store.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "memcap/base/clock.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/log.hpp"
#include "store/detail/array_library.hpp"
#include "store/detail/snapshot.hpp"

namespace memcap::store {

namespace {

void log_notes(const RunFolder& folder, const JournalReport& report) {
    for (const auto& note : report.notes) log::warning(note);
    for (const auto& conflict : report.conflicts) log::warning(conflict);
    if (report.unreadable_frames > 0) {
        log::warning(fmt::format("{}: whole entries that could not be understood and were skipped: {}",
                                 folder.journal().string(), report.unreadable_frames));
    }
}

void log_report(const RunFolder& folder, const JournalReport& report) {
    log_notes(folder, report);
    if (report.damaged_bytes > 0) {
        log::warning(fmt::format("{}: {} bytes of it are damaged; memcap rebuild {} says more",
                                 folder.journal().string(), report.damaged_bytes, folder.root().string()));
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

/// What is known of a folder's trials, for its writer.
FoundIndex find_index(const RunFolder& folder, const OpenOptions& options, FolderLock& lock) {
    const auto look = [&folder] {
        return read_index(folder, bulk_files_check(folder, ArraysState::missing), TornTails::cut);
    };
    if (auto found = look()) return std::move(*found);
    if (options.make_index) {
        options.make_index([&lock] { lock.beat(monotonic_s()); });
    } else {
        make_index(folder.root());
    }
    if (auto found = look()) return std::move(*found);
    throw StoreError(folder.index_file(),
                     {.what = "cannot tell from the journal what has been done",
                      .where = {},
                      .why = "files of the run change while they are read",
                      .advice = "See that nothing else writes to the run folder, then run again"});
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

RunStore::RunStore(RunFolder folder, std::unique_ptr<FolderLock> lock, FoundIndex found,
                   JournalWriter journal, Checkpoints checkpoints)
    : folder_(std::move(folder)),
      lock_(std::move(lock)),
      index_(std::move(found.index)),
      report_(std::move(found.report)),
      is_covered_(found.new_frames == 0),
      shown_(found.shown),
      journal_(std::move(journal)),
      checkpoints_(std::move(checkpoints)),
      opened_s_(monotonic_s()),
      ended_bulk_s_(opened_s_) {}

RunStore::RunStore(RunStore&&) noexcept = default;
RunStore& RunStore::operator=(RunStore&&) noexcept = default;
RunStore::~RunStore() = default;

RunStore RunStore::open(const std::filesystem::path& root, const OpenOptions& options) {
    const RunFolder folder(root);
    folder.create();
    auto lock = std::make_unique<FolderLock>(FolderLock::acquire(folder.lock_file(), lock_request(options)));
    detail::remove_unfinished_files(folder);
    FoundIndex found = find_index(folder, options, *lock);
    log_report(folder, found.report);
    std::uint32_t last_bulk = std::max(found.index.last_bulk(), detail::last_segment_number(folder));
    const auto bulk_files = numbered_files(folder.journal(), ".bulk");
    if (!bulk_files.empty()) last_bulk = std::max(last_bulk, bulk_files.back());
    lock->beat(monotonic_s());
    JournalWriter journal = JournalWriter::create(
        folder, found.index.run_id(),
        {.next_bulk = last_bulk + 1, .ends = found.ends, .before_new_file = [&held = *lock] {
             held.expect_held();
         }});
    auto checkpoints = Checkpoints::open(folder.checkpoints(), [&index = found.index](const Id128& trial) {
        const IndexedTrial* known = index.find(trial);
        return known == nullptr || !known->final();
    });
    return RunStore(folder, std::move(lock), std::move(found), std::move(journal), std::move(checkpoints));
}

std::optional<KnownTrial> RunStore::known(const Id128& trial) const {
    const IndexedTrial* known = index_.find(trial);
    if (known == nullptr || !known->on_record || (known->done() && !known->final())) return std::nullopt;
    return KnownTrial{.status = known->status, .category = known->category, .attempts = known->attempts};
}

bool RunStore::has_record(const Id128& trial) const {
    const IndexedTrial* known = index_.find(trial);
    return known != nullptr && known->on_record;
}

bool RunStore::is_shown(const record::RunTables& plan) const {
    const bool all_shown = is_covered_ && !index_.plan().ended_utc.empty() && shown_ != FileDigest{} &&
                           shown_ == digest_of(folder_.results_file());
    if (!all_shown || index_.plan().hash != plan_hash(plan)) return false;
    if (index_.plan().has_earlier_rows) tell_earlier_rows(read_plans(folder_, index_));
    return true;
}

void RunStore::begin_launch(record::RunTables tables) {
    MEMCAP_EXPECT(tables.launches.size() == 1);
    keep_folder();
    is_covered_ = false;
    const bool is_current = index_.plan().hash == plan_hash(tables);
    if (is_current) {
        journal_.append(tables.launches.front());
    } else {
        // Twice, because without the plan no result has a row: one damaged block must not take it away.
        journal_.append(tables);
        journal_.append(tables);
    }
    journal_.sync();
    write_file_atomically(folder_.experiment_file(), tables.experiment_yaml);
    if (is_current) {
        index_.add_launch(journal_.segment(), tables.launches.front());
        if (index_.plan().has_earlier_rows) tell_earlier_rows(read_plans(folder_, index_));
        return;
    }
    RunState plans = read_plans(folder_, index_);
    index_.add_plan(journal_.segment(), tables);
    plans.add_tables(journal_.segment(), std::move(tables));
    const auto has_record = [this](const Id128& trial) { return this->has_record(trial); };
    for (const auto& [reason, count] : plans.dropped(has_record)) log::warning(dropped_text(reason, count));
    tell_earlier_rows(plans);
}

void RunStore::tell_earlier_rows(const RunState& plans) const {
    const auto earlier = plans.earlier_trials([this](const Id128& trial) { return has_record(trial); });
    if (earlier == 0) return;
    log::info(fmt::format(
        "{}: results of {} trial{} that an earlier launch ran and this experiment does not ask for stay, and "
        "count in the table and in results.h5; a new folder (--out) has those of this experiment alone",
        folder_.root().string(), earlier, earlier == 1 ? "" : "s"));
}

void RunStore::update_launch(const record::LaunchRow& launch) {
    keep_folder();
    is_covered_ = false;
    journal_.append(launch);
    journal_.sync();
    index_.add_launch(journal_.segment(), launch);
}

void RunStore::append(const record::TrialRecord& record) {
    lock_->expect_held(monotonic_s());
    is_covered_ = false;
    const BulkPlace arrays = journal_.append(record);
    checkpoints_.drop(record.trial_id);
    index_.add_result(record, arrays, ArraysState::whole);
}

void RunStore::crashed(const Id128& trial, const std::string& reason) {
    lock_->expect_held(monotonic_s());
    is_covered_ = false;
    journal_.append_crash(trial, reason);
    index_.add_crash(trial);
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

void RunStore::keep_folder() {
    const double now_s = monotonic_s();
    lock_->beat(now_s);
    lock_->expect_held(now_s);
}

ExportPoint RunStore::next_export() {
    constexpr std::uint64_t kLargeBytes = std::uint64_t{256} << 20U;
    // Early vectors are shown soon, later ones after a quarter more of the time that the launch has taken.
    constexpr double kGrowth = 1.25;
    const double now_s = monotonic_s();
    const bool is_old = now_s - opened_s_ > kGrowth * (ended_bulk_s_ - opened_s_);
    lock_->expect_held();
    journal_.sync();
    if (is_old || journal_.bulk_bytes() >= kLargeBytes) {
        journal_.end_bulk_file();
        ended_bulk_s_ = now_s;
    }
    return {.journal = journal_.end(), .bulk_end = journal_.first_open_bulk()};
}

ExportPoint RunStore::last_export() {
    lock_->expect_held();
    journal_.sync();
    journal_.end_bulk_file();
    return {.journal = journal_.end(), .bulk_end = journal_.first_open_bulk()};
}

void RunStore::close() {
    lock_->expect_held();
    journal_.sync();
    journal_.end_bulk_file();
    checkpoints_.close();
    lock_->release();
}

void make_index(const std::filesystem::path& root) {
    const RunFolder folder(root);
    auto library = detail::ArrayLibrary::open(folder);
    const RunState state = replay(
        folder, [&library](const BulkPlace& place) { return library.check(place); }, TornTails::cut);
    log_notes(folder, state.report());
    write_index(folder, state, {});
}

SnapshotReport export_results(const std::filesystem::path& root, const ExportPoint& point) {
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
        folder, [&library](const BulkPlace& place) { return library.check(place); }, TornTails::keep,
        point.journal);
    detail::publish_bulk_files(folder, state, library, point.bulk_end, keep_folder);
    keep_folder();
    SnapshotReport report = detail::write_snapshot(folder, state, library);
    keep_folder();
    write_index(folder, state, digest_of(folder.results_file()));
    return report;
}

}  // namespace memcap::store
