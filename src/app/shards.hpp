// Shards of a run, as users name them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "memcap/base/shard.hpp"
#include "memcap/store/journal/run_folder.hpp"

namespace memcap::app {

/// The value of --shard; throws UsageError.
Shard shard_of_option(const std::string& text);

/// What lies in a folder that a user names: one run, or shards.
struct RunsOfFolder {
    std::vector<store::RunFolder> runs;
    std::vector<std::uint32_t> missing;  ///< shards that have not begun
    bool are_shards = false;
};

/// Throws DataError if there is neither, or the shards do not belong together.
RunsOfFolder runs_of(const std::string& folder);

}  // namespace memcap::app
