// One result file from several run folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "memcap/store/run_store.hpp"

namespace memcap::store {

enum class MergeArrays : std::uint8_t {
    refer,  ///< vectors and curves stay in the folders, and the file refers to them
    copy,   ///< the file holds everything
};

struct MergeReport {
    SnapshotReport written;
    std::uint64_t duplicates = 0;        ///< trials that a former folder already had
    std::vector<std::string> conflicts;  ///< of those, the ones whose numbers differ
    std::vector<std::string> notes;      ///< renamed names, damage, vectors left out
};

/// Writes `out` from the journals of the folders, which are only read. A trial that several have comes from
/// the first that finished it; a name that means different things in two folders gets the later folder's
/// experiment added. Throws StoreError.
MergeReport merge(const std::filesystem::path& out, const std::vector<std::filesystem::path>& folders,
                  MergeArrays arrays);

}  // namespace memcap::store
