// When results.h5 is behind, and what takes its place.
#include "app/report_snapshots.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "memcap/base/errors.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/shards.hpp"
#include "memcap/store/merge.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;

/// Whether something was recorded after results.h5 was written.
bool is_behind(const store::RunFolder& run) {
    std::error_code absent;
    const auto shown_at = fs::last_write_time(run.results_file(), absent);
    if (absent) return true;
    for (const std::uint32_t number : store::numbered_files(run.journal(), ".log")) {
        std::error_code gone;
        const auto recorded_at = fs::last_write_time(run.log_segment(number), gone);
        if (!gone && recorded_at > shown_at) return true;
    }
    return false;
}

/// The folders whose journals have what a report of this one shows; none if its results.h5 does.
std::vector<fs::path> newer_journals(const fs::path& folder) {
    std::vector<fs::path> journals;
    if (const auto shards = store::find_shards(folder)) {
        for (const auto& [index, run] : shards->begun) journals.push_back(run.root());
        return journals;
    }
    const store::RunFolder run(folder);
    if (run.exists() && is_behind(run)) journals.push_back(run.root());
    return journals;
}

fs::path make_temporary_folder() {
    std::string name = (fs::temp_directory_path() / "memcap-report-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
        throw StoreError(name, {.what = "cannot make a folder for the run's results so far",
                                .where = {},
                                .why = std::strerror(errno),
                                .advice = "Name a folder with space in TMPDIR"});
    }
    return name;
}

}  // namespace

ReportSnapshots::ReportSnapshots(const std::vector<std::string>& runs) {
    for (const std::string& name : runs) {
        const auto journals = newer_journals(name);
        if (journals.empty()) continue;
        if (folder_.path.empty()) folder_.path = make_temporary_folder();
        const fs::path file = folder_.path / fmt::format("{}.h5", arguments_.size());
        store::merge(file, journals, store::MergeArrays::curves);
        arguments_.insert(arguments_.end(), {"--snapshot", name, file.string()});
    }
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    if (!path.empty()) fs::remove_all(path, ignored);
}

}  // namespace memcap::app
