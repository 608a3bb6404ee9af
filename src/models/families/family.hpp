// What each family offers to the registry.
#pragma once

#include <memory>

#include "memcap/hub/model_config.hpp"
#include "memcap/models/causal_lm.hpp"
#include "memcap/nn/weights.hpp"

namespace memcap::models::families {

/// A row of the registry's table.
struct Family {
    const char* architecture;  ///< as in config.json
    Description (*describe)(const hub::ModelConfig& config);
    std::unique_ptr<CausalLM> (*build)(const hub::ModelConfig& config, const nn::WeightReader& weights);
};

/// Llama 2 and 3 (transformers modeling_llama.py).
extern const Family kLlama;

}  // namespace memcap::models::families
