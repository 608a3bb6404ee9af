// results.h5 from the journals alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::store {

struct RebuildReport {
    JournalReport journal;
    SnapshotReport written;
    std::uint64_t trials = 0;             ///< with a record
    std::uint64_t trials_in_no_plan = 0;  ///< have a record, but no row: their names now mean something else
    std::map<std::string, std::uint64_t> dropped;  ///< why, as far as it is known
};

/// Reads everything, each array against its checksum, and replaces results.h5. Throws StoreError, also if
/// somebody else is writing to the folder.
RebuildReport rebuild(const std::filesystem::path& root, const OpenOptions& options);

}  // namespace memcap::store
