// Published models by name, as their config.json: enough to build them with random weights.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/hub/model_config.hpp"

namespace memcap::models {

/// The names there are, e.g. "pythia-160m".
std::vector<std::string> shape_names();

/// The config.json of a name; none for a name that is not there.
std::optional<hub::ModelConfig> shape_config(std::string_view name);

}  // namespace memcap::models
