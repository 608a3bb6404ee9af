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
        const store::RunFolder run(name);
        if (!run.exists() || !is_behind(run)) continue;
        if (folder_.path.empty()) folder_.path = make_temporary_folder();
        const fs::path file = folder_.path / fmt::format("{}.h5", arguments_.size());
        store::merge(file, {run.root()}, store::MergeArrays::curves);
        arguments_.insert(arguments_.end(), {"--snapshot", name, file.string()});
    }
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    if (!path.empty()) fs::remove_all(path, ignored);
}

}  // namespace memcap::app
