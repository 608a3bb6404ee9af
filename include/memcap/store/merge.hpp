// One result file from several run folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "memcap/store/run_store.hpp"

namespace memcap::store {

enum class MergeArrays : std::uint8_t {
    refer,   ///< vectors and curves stay in the folders, and the file refers to them
    copy,    ///< the file holds everything
    curves,  ///< the file holds the curves and no vectors
};

struct MergeReport {
    SnapshotReport written;
    std::uint64_t duplicates = 0;        ///< trials that a former folder already had
    std::uint64_t near = 0;              ///< of those, the ones that differ by rounding
    std::string largest_near;            ///< the largest such difference, as a phrase
    std::vector<std::string> conflicts;  ///< of those, the ones whose numbers differ by more
    std::vector<std::string> notes;      ///< renamed names, damage, rows left out
};

/// Writes `out` from the journals of the folders, which are only read and may be those of running runs. A
/// trial that several have comes from the first that finished it; a name that means different things in two
/// folders gets the later folder's experiment added. Throws DataError if `out` is a run's own results.h5, a
/// folder, or a file that memcap did not write; StoreError.
MergeReport merge(const std::filesystem::path& out, const std::vector<std::filesystem::path>& folders,
                  MergeArrays arrays);

}  // namespace memcap::store
