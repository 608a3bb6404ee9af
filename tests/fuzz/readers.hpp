// What the fuzz targets do with an input: read it as memcap does, use all of what was read, and check what
// must hold.
#pragma once

#include <span>

#include "memcap/base/bytes.hpp"

namespace memcap::fuzz {

enum class Outcome { read, refused };

/// Each reads bytes as one kind of file of a model folder. A DataError is an orderly refusal; whatever else
/// comes out, std::logic_error for what does not hold among it, is a fault of memcap.

/// The bytes of model.safetensors, from memory and from a file.
Outcome read_weights(std::span<const std::byte> bytes);

/// The text of config.json.
Outcome read_config(std::span<const std::byte> bytes);

/// The text of model.safetensors.index.json, in a folder that has the shards one.safetensors and
/// two.safetensors, a cut one called cut.safetensors, and a folder called folder.
Outcome read_index(std::span<const std::byte> bytes);

}  // namespace memcap::fuzz
