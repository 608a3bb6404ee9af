// Rebuilding results.h5 with every checksum checked.
#include "memcap/store/rebuild.hpp"

#include <limits>
#include <unordered_set>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/store/journal/index_file.hpp"
#include "store/detail/array_library.hpp"
#include "store/detail/snapshot.hpp"

namespace memcap::store {

namespace {

std::uint64_t trials_in_no_plan(const RunState& state) {
    std::unordered_set<Id128> planned;
    for (const auto& row : state.tables().rows) planned.insert(row.trial_id);
    std::uint64_t orphans = 0;
    for (const auto& [trial, stored] : state.records()) orphans += planned.contains(trial) ? 0U : 1U;
    return orphans;
}

}  // namespace

RebuildReport rebuild(const std::filesystem::path& root, const OpenOptions& options) {
    const RunFolder folder(root);
    folder.expect_run();
    folder.create();
    FolderLock lock = FolderLock::acquire(folder.lock_file(), lock_request(options));
    const auto keep_folder = [&lock] {
        lock.beat(monotonic_s());
        lock.expect_held(monotonic_s());
    };
    auto library = detail::ArrayLibrary::open(folder);
    // Torn tails stay: a rebuild looks at what is there, and only a run continues the journal.
    const RunState state = replay(
        folder,
        [&](const BulkPlace& place) {
            keep_folder();
            return library.verify(place);
        },
        TornTails::keep);
    detail::remove_unfinished_files(folder);
    detail::publish_bulk_files(folder, state, library, std::numeric_limits<std::uint32_t>::max(),
                               keep_folder);
    lock.expect_held();
    RebuildReport report{.journal = state.report(),
                         .written = {},
                         .trials = state.records().size(),
                         .trials_in_no_plan = trials_in_no_plan(state),
                         .dropped = state.dropped()};
    report.written = detail::write_snapshot(folder, state, library);
    bring_journal_to_disk(folder, state.segment_ends());
    keep_folder();
    write_index(folder, state, digest_of(folder.results_file()));
    return report;
}

}  // namespace memcap::store
