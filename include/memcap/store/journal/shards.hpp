// Run folders of the shards of an experiment: DIR/shard-0, DIR/shard-1, ..., each with a writer of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "memcap/base/shard.hpp"
#include "memcap/store/journal/run_folder.hpp"

namespace memcap::store {

/// The place of a shard's run below the folder of the whole.
RunFolder shard_folder(const std::filesystem::path& whole, std::uint32_t index);

/// Which shard a run folder holds; nothing if its run is not sharded. Throws DataError if what it says cannot
/// be understood.
std::optional<Shard> read_shard(const RunFolder& folder);

/// Puts on record which shard a run folder holds. Only the holder of its lock may. Throws StoreError.
void record_shard(const RunFolder& folder, const Shard& shard);

/// The shards of a run that have begun.
struct Shards {
    std::uint32_t count = 0;
    std::map<std::uint32_t, RunFolder> begun;

    /// Those that have not.
    std::vector<std::uint32_t> missing() const;
};

/// The shards below a folder; nothing if there are none. Throws DataError if they do not belong together.
std::optional<Shards> find_shards(const std::filesystem::path& whole);

/// Throws DataError unless the run of `shard` below a folder, or without one the whole run in it, can begin
/// or go on there: a folder holds either one run or shards of one number.
void expect_sharding(const std::filesystem::path& whole, const std::optional<Shard>& shard);

}  // namespace memcap::store
