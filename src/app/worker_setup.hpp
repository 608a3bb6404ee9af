// What every worker has to know of a run, as bytes: workers never read the experiment file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/config/experiment.hpp"
#include "memcap/hub/model_identity.hpp"

namespace memcap::app {

/// A model's folder and what it held when the plan was made.
struct ModelSource {
    std::string folder;
    hub::ModelIdentity identity;
};

struct WorkerSetup {
    std::vector<ModelSource> models;  ///< by plan::Trial::model
    std::string run_folder;           ///< absolute; where the ranks' logs go
    bool keep_vectors = true;
    std::int32_t curve_every = 10;
    std::int32_t sharers = 1;  ///< ranks that compute on this one's device
    std::optional<std::int32_t> slots;
    std::optional<std::int32_t> threads;
    config::WeightsChoice weights = config::WeightsChoice::automatic;
};

Bytes encode(const WorkerSetup& setup);
WorkerSetup decode_setup(std::span<const std::byte> bytes);

}  // namespace memcap::app
