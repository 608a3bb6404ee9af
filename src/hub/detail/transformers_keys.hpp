// What Hugging Face transformers does with the keys of config.json.
#pragma once

#include <string_view>

namespace memcap::hub::detail {

enum class KeyUse {
    read,  ///< numbers may depend on it: the forward pass reads it, or what loads the weights
    idle,  ///< known, and no number of a frozen decoder depends on it: training, generation, labels, caches
    unknown,  ///< of no meaning to transformers
};

/// The use of a key in the configuration of this model type (`model_type` in config.json, or rope_parameters
/// for the objects that describe a rotation). The type must be one of the table's.
KeyUse key_use(std::string_view model_type, std::string_view key);

}  // namespace memcap::hub::detail
