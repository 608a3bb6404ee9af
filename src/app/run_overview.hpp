// How far the run of a folder is, or the shards of one together.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/worker_file.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/store/journal/run_status.hpp"

namespace memcap::app {

/// One run folder: all of a run, or a shard of it.
struct RunPart {
    store::RunFolder folder;
    store::RunStatus status;
    store::RunActivity activity;
    std::vector<WorkerLine> workers;  ///< of the last launch, as rank 0 last told of them
};

struct MissingShard {
    std::uint32_t index = 0;
    std::uint64_t planned = 0;  ///< trials, by the newest plan of the other shards
};

struct RunOverview {
    std::vector<RunPart> parts;         ///< at least one
    std::vector<MissingShard> missing;  ///< shards that have not begun
    bool are_shards = false;
    store::RunStatus total;  ///< without owner; times are the last ones of all parts
    store::RunActivity activity = store::RunActivity::not_started;
    double trials_per_s = 0.0;  ///< of the parts that run; where none does, of their last launches
    double left_s = -1.0;       ///< until the slowest part that runs is through; -1: unknown
};

/// Throws DataError or StoreError if there is no run.
RunOverview overview_of(const std::string& folder);

/// As docs/run-status.md has it.
nlohmann::json overview_json(const RunOverview& overview);

}  // namespace memcap::app
