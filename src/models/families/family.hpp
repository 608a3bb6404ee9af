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

// Each after the file of its name in transformers (modeling_<name>.py); SmolLM2 and Sheared-LLaMA are Llama.
extern const Family kGemma2;
extern const Family kGemma3;
extern const Family kGemma3BesideImages;
extern const Family kGpt2;
extern const Family kGptNeoX;
extern const Family kGraniteHybrid;
extern const Family kLlama;
extern const Family kMamba;
extern const Family kMamba2;
extern const Family kMistral;
extern const Family kOlmo;
extern const Family kOlmo2;
extern const Family kOlmo3;
extern const Family kOpt;
extern const Family kPhi3;
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kQwen3Moe;
extern const Family kSmolLM3;

}  // namespace memcap::models::families
