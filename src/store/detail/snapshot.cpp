// Snapshots: vectors to their segments, then the result file.
#include "store/detail/snapshot.hpp"

#include <fmt/format.h>

#include <map>
#include <system_error>

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

void remove_temporaries(const std::filesystem::path& folder) {
    std::error_code error;
    std::vector<std::filesystem::path> temporaries;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".tmp") temporaries.push_back(entry.path());
    }
    for (const auto& path : temporaries) std::filesystem::remove(path, error);
}

}  // namespace

void finish_interrupted_work(const RunFolder& folder, const ArrayLibrary& library) {
    for (const auto& place : {folder.root(), folder.vectors(), folder.tokens()}) remove_temporaries(place);
    for (const std::uint32_t number : numbered_files(folder.journal(), ".bulk")) {
        // A segment gets its name only once it is complete, so its bulk file has done its work.
        std::error_code ignored;
        if (library.segments().contains(number)) std::filesystem::remove(folder.bulk_file(number), ignored);
    }
}

void publish_bulk_files(const RunFolder& folder, const RunState& state, ArrayLibrary& library) {
    const auto numbers = numbered_files(folder.journal(), ".bulk");
    if (numbers.empty()) return;
    LivePlaces places = live_places(state);
    for (const std::uint32_t number : numbers) {
        try {
            library.publish(number, places[number]);
        } catch (const Hdf5Failure& failure) {
            throw StoreError(folder.vectors_segment(number),
                             {.what = "cannot write the vectors",
                              .where = {},
                              .why = failure.what(),
                              .advice = "Free space if the disk is full; they stay safe in " +
                                        folder.bulk_file(number).string()});
        }
    }
}

SnapshotReport write_snapshot(const RunFolder& folder, const RunState& state, ArrayLibrary& library) {
    ResultContent content{.tables = &state.tables(),
                          .rows = {},
                          .folders = {{&folder, &library}},
                          .arrays = MergeArrays::refer};
    for (const ResultRow& row : state.rows()) {
        content.rows.push_back(
            {.planned = row.planned, .stored = row.stored, .folder = 0, .token_folder = 0});
    }
    const SnapshotReport report = write_results(folder.results_file(), content);
    if (report.rows_without_tokens > 0) {
        log::warning(fmt::format(
            "{0}: rows without tokens, because their files are missing or damaged in {2}: {1}",
            folder.results_file().string(), report.rows_without_tokens, folder.tokens().string()));
    }
    if (report.rows_without_arrays > 0) {
        log::warning(fmt::format(
            "{0}: rows without their vector, because its segment is missing or damaged in {2}: {1}",
            folder.results_file().string(), report.rows_without_arrays, folder.vectors().string()));
    }
    return report;
}

}  // namespace memcap::store::detail
