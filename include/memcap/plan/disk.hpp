// What a run leaves on disk, estimated before anything runs.
#pragma once

#include <cstdint>
#include <span>

#include "memcap/plan/expand.hpp"

namespace memcap::plan {

/// Bytes of a run folder once all trials are done.
struct DiskUse {
    std::int64_t vectors_bytes = 0;
    std::int64_t curves_bytes = 0;   ///< if no trial stopped early
    std::int64_t records_bytes = 0;  ///< journal and results.h5
    std::int64_t tokens_bytes = 0;   ///< of tokens/, and again in results.h5

    std::int64_t total_bytes() const { return vectors_bytes + curves_bytes + records_bytes + tokens_bytes; }
};

/// Upper estimate for all trials of a plan that was made from these tokens and models.
DiskUse disk_use(const Plan& plan, std::span<const TokenTable> tokens, std::span<const ModelFacts> models,
                 const config::StoreOptions& store);

}  // namespace memcap::plan
