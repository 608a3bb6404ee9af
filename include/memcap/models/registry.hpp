// From a model folder, or its config.json alone, to the family that reads it.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "memcap/base/protocol.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/models/causal_lm.hpp"
#include "memcap/models/description.hpp"

namespace memcap::models {

/// Reads config.json alone; throws DataError for an unknown architecture or a key that memcap does not know.
Description describe(const std::filesystem::path& folder);
Description describe(const hub::ModelConfig& config);

/// Loads a model; throws DataError for weights that are missing, misshapen, damaged or not finite. On the
/// meta device every tensor is checked so, and none is kept.
std::unique_ptr<CausalLM> load(const std::filesystem::path& folder, Precision precision, at::Device device);
/// The same with a config.json that is read and weights that are open already; the model keeps them as long
/// as tensors of it lie in them.
std::unique_ptr<CausalLM> load(const hub::ModelConfig& config, std::shared_ptr<const hub::WeightFiles> files,
                               Precision precision, at::Device device);

/// Tensors of the weight files that no layer of the model reads, in name order: of layers that config.json
/// does not count, of biases that it does not switch on, of adapters and the like. transformers computes
/// without them, too, and warns. Those that it passes over in silence are left out. Reads no values; throws
/// DataError for tensors that are missing or misshapen.
std::vector<std::string> unread_weights(const hub::ModelConfig& config,
                                        std::shared_ptr<const hub::WeightFiles> files);
/// How many there are, and the first of them: "30: a, b, c and 27 more"; empty for none.
std::string unread_text(const std::vector<std::string>& names);

/// The model of a config.json with random weights, made in memory: the same each time, and good for measuring
/// time and memory alone.
std::unique_ptr<CausalLM> make_random(const hub::ModelConfig& config, Precision precision, at::Device device);

/// Architecture names of config.json that memcap can load.
std::vector<std::string> architectures();

}  // namespace memcap::models
