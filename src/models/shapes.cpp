// The table of named shapes.
#include "memcap/models/shapes.hpp"

#include <algorithm>
#include <array>

namespace memcap::models {

namespace {

struct Shape {
    std::string_view name;
    const char* repository;  ///< on Hugging Face: where the figures stand, in its config.json
    std::string_view config;
};

// The keys that decide shapes and numbers, as in experiments/paper/models (a test compares), whose README
// says how each was checked.
constexpr std::array kShapes{
    Shape{"pythia-160m", "EleutherAI/pythia-160m", R"(
{"architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "vocab_size": 50304,
 "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
 "intermediate_size": 3072, "max_position_embeddings": 2048, "hidden_act": "gelu",
 "layer_norm_eps": 1e-05, "rotary_pct": 0.25, "rotary_emb_base": 10000,
 "use_parallel_residual": true, "tie_word_embeddings": false})"},
    Shape{"pythia-1.4b", "EleutherAI/pythia-1.4b", R"(
{"architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "vocab_size": 50304,
 "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16,
 "intermediate_size": 8192, "max_position_embeddings": 2048, "hidden_act": "gelu",
 "layer_norm_eps": 1e-05, "rotary_pct": 0.25, "rotary_emb_base": 10000,
 "use_parallel_residual": true, "tie_word_embeddings": false})"},
    Shape{"llama-3.2-1b", "meta-llama/Llama-3.2-1B", R"(
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256,
 "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
 "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 8192,
 "max_position_embeddings": 131072, "hidden_act": "silu", "attention_bias": false,
 "mlp_bias": false, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
 "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 8192},
 "tie_word_embeddings": true})"},
    Shape{"llama-3.1-8b", "meta-llama/Meta-Llama-3.1-8B", R"(
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256,
 "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
 "num_key_value_heads": 8, "intermediate_size": 14336, "max_position_embeddings": 131072,
 "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "rms_norm_eps": 1e-05,
 "rope_theta": 500000.0,
 "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 8192},
 "tie_word_embeddings": false})"},
    Shape{"mamba-130m", "state-spaces/mamba-130m-hf", R"(
{"architectures": ["MambaForCausalLM"], "model_type": "mamba", "vocab_size": 50280,
 "hidden_size": 768, "intermediate_size": 1536, "expand": 2, "num_hidden_layers": 24,
 "state_size": 16, "conv_kernel": 4, "time_step_rank": 48, "hidden_act": "silu",
 "layer_norm_epsilon": 1e-05, "use_bias": false, "use_conv_bias": true,
 "residual_in_fp32": true})"},
};

}  // namespace

std::vector<std::string> shape_names() {
    std::vector<std::string> names;
    for (const Shape& shape : kShapes) names.emplace_back(shape.name);
    return names;
}

std::optional<hub::ModelConfig> shape_config(std::string_view name) {
    const auto* shape = std::ranges::find(kShapes, name, &Shape::name);
    if (shape == kShapes.end()) return std::nullopt;
    return hub::ModelConfig::parse(shape->repository, shape->config);
}

}  // namespace memcap::models
