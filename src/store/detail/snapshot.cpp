// Snapshots: vectors to their segments, then the result file.
#include "store/detail/snapshot.hpp"

#include <fmt/format.h>

#include <map>
#include <system_error>

#include "memcap/base/files.hpp"
#include "memcap/base/log.hpp"
#include "store/detail/hdf5.hpp"
#include "store/detail/result_writer.hpp"

namespace memcap::store::detail {

namespace {

using LivePlaces = std::map<std::uint32_t, std::vector<std::pair<Id128, BulkPlace>>>;

/// Places that results refer to and that hold what they should, by bulk file.
LivePlaces live_places(const RunState& state) {
    LivePlaces places;
    for (const auto& [trial, stored] : state.records()) {
        const bool whole = stored.arrays_state == ArraysState::whole;
        if (!stored.arrays.empty() && whole) places[stored.arrays.number].emplace_back(trial, stored.arrays);
    }
    return places;
}

/// Deletes what an interrupted write left in a folder that is memcap's own.
void remove_temporaries(const std::filesystem::path& folder) {
    std::error_code error;
    std::vector<std::filesystem::path> temporaries;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        if (is_temporary_name(entry.path())) temporaries.push_back(entry.path());
    }
    for (const auto& path : temporaries) std::filesystem::remove(path, error);
}

}  // namespace

void remove_unfinished_files(const RunFolder& folder) {
    for (const auto& place : {folder.vectors(), folder.tokens()}) remove_temporaries(place);
    // Beside the run lie files of others: only what this run itself writes there.
    for (const auto& file :
         {folder.results_file(), folder.experiment_file(), folder.hashes(), folder.index_file()}) {
        std::error_code ignored;
        std::filesystem::remove(temporary_name(file), ignored);
    }
}

void publish_bulk_files(const RunFolder& folder, const RunState& state, ArrayLibrary& library,
                        std::uint32_t end, const std::function<void()>& keep_folder) {
    auto numbers = numbered_files(folder.journal(), ".bulk");
    std::erase_if(numbers, [end](std::uint32_t number) { return number >= end; });
    std::erase_if(numbers, [&](std::uint32_t number) {
        // A segment gets its name only once it is complete, so its bulk file has done its work.
        std::error_code ignored;
        return library.has_own(number) && std::filesystem::remove(folder.bulk_file(number), ignored);
    });
    if (numbers.empty()) return;
    LivePlaces places = live_places(state);
    for (const std::uint32_t number : numbers) {
        try {
            library.publish(state.run_id(), number, places[number], keep_folder);
        } catch (const Hdf5Failure& failure) {
            throw StoreError(folder.bulk_file(number),
                             {.what = "cannot move these vectors to " + folder.vectors().string(),
                              .where = {},
                              .why = failure.what(),
                              .advice = "Free space if the disk is full; they stay safe in this file"});
        }
    }
}

SnapshotReport write_snapshot(const RunFolder& folder, const RunState& state, ArrayLibrary& library) {
    ResultContent content{.tables = &state.tables(),
                          .rows = {},
                          .folders = {{&folder, &library}},
                          .arrays = MergeArrays::refer,
                          .progress = state.progress(),
                          .open = {},
                          .dropped = state.dropped()};
    for (const record::PlannedRow* row : state.open_rows()) content.open.push_back(&row->axes);
    for (const ResultRow& row : state.rows()) {
        content.rows.push_back(
            {.planned = row.planned, .stored = row.stored, .folder = 0, .token_folder = 0});
    }
    SnapshotReport report = write_results(folder.results_file(), content);
    if (report.rows_without_tokens > 0) {
        log::warning(fmt::format(
            "{0}: rows without tokens, because their files are missing or damaged in {2}: {1}",
            folder.results_file().string(), report.rows_without_tokens, folder.tokens().string()));
    }
    if (report.rows_without_arrays > 0) {
        log::warning(fmt::format("{}: rows without their vector: {}; {}", folder.results_file().string(),
                                 report.rows_without_arrays, lost_text(report)));
    }
    return report;
}

}  // namespace memcap::store::detail
