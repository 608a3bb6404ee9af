// The sliding windows of Qwen2 and Qwen3, which both keep in the same keys.
#pragma once

#include <cstdint>
#include <vector>

#include "models/families/config_keys.hpp"

namespace memcap::models::families {

/// The window of each layer, 0 for none: without layer_types, layers from max_window_layers on slide if
/// use_sliding_window says so (transformers configuration_qwen2.py).
inline std::vector<std::int64_t> read_qwen_windows(const hub::ModelConfig& config, std::int32_t layers) {
    const bool enabled = config.boolean("use_sliding_window", false) && !config.is_null("sliding_window");
    const std::int64_t first = config.integer("max_window_layers", 28);
    std::vector<bool> upper;
    for (std::int32_t i = 0; i < layers; ++i) upper.push_back(enabled && i >= first);
    std::vector<std::int64_t> windows;
    for (const bool slides : read_sliding_layers(config, upper))
        windows.push_back(slides && enabled ? config.size("sliding_window", 4096) : 0);
    return windows;
}

}  // namespace memcap::models::families
