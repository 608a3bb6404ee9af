// What must be alike on all nodes of a launch before anything starts: the program, the clock, the run folder.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "memcap/base/errors.hpp"

namespace memcap::app {

/// The program that this is, in words that no other build says.
std::string own_build();

/// Why ranks on these nodes cannot run together, by the build of each; nothing where all have one.
std::optional<ErrorText> different_builds(const std::vector<std::string>& nodes,
                                          const std::vector<std::string>& builds);

/// What to say of clocks that were read at one moment, by rank in seconds; empty where they are less than a
/// minute apart.
std::string different_clocks(const std::vector<std::string>& nodes, const std::vector<double>& clocks_s);

/// A file that shows a folder to other nodes, as long as this object lives.
class FolderToken {
  public:
    /// Makes the file in `folder`, or in the nearest folder above it where that is not there yet.
    explicit FolderToken(const std::filesystem::path& folder);
    ~FolderToken();
    FolderToken(const FolderToken&) = delete;
    FolderToken& operator=(const FolderToken&) = delete;
    /// Absolute; empty if the file could not be made.
    const std::filesystem::path& path() const noexcept { return path_; }

  private:
    std::filesystem::path path_;
};

/// Whether the file comes into sight within so many seconds: a file system of a network may show it later.
bool comes_into_sight(const std::filesystem::path& token, double patience_s);

/// Why a run whose folder is not seen from these nodes cannot start.
ErrorText folder_not_shared(const std::filesystem::path& folder, const std::vector<std::string>& blind_nodes);

}  // namespace memcap::app
