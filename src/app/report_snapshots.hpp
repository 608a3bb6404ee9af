// Result files for the report of runs whose results.h5 is behind their journal, or that are in shards.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace memcap::app {

/// A folder that goes with its owner; none while `path` is empty.
struct TemporaryFolder {
    TemporaryFolder() = default;
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder();

    std::filesystem::path path;
};

/// Makes, from the journal alone and without its lock, a result file of each run that goes on or was killed,
/// or is in shards; they live as long as the object does. Vectors are left out: no report shows them.
class ReportSnapshots {
  public:
    /// `runs`: run folders and result files, as the user named them. Throws StoreError.
    explicit ReportSnapshots(const std::vector<std::string>& runs);

    /// What tells the analysis package of them.
    const std::vector<std::string>& arguments() const noexcept { return arguments_; }

  private:
    TemporaryFolder folder_;
    std::vector<std::string> arguments_;
};

}  // namespace memcap::app
