// The families' rows of transformers' tables.
#include "models/published_names.hpp"

#include <algorithm>
#include <array>

namespace memcap::models {

namespace {

struct Names {
    std::string_view model_type;
    std::string_view architecture;
    std::string_view base_prefix = "model.";
};

constexpr std::array kNames{Names{"gemma2", "Gemma2ForCausalLM"},
                            Names{"gemma3", "Gemma3ForConditionalGeneration"},
                            Names{"gemma3_text", "Gemma3ForCausalLM"},
                            Names{"gpt2", "GPT2LMHeadModel", "transformer."},
                            Names{"gpt_neox", "GPTNeoXForCausalLM", "gpt_neox."},
                            Names{"granitemoehybrid", "GraniteMoeHybridForCausalLM"},
                            Names{"llama", "LlamaForCausalLM"},
                            Names{"mamba", "MambaForCausalLM", "backbone."},
                            Names{"mamba2", "Mamba2ForCausalLM", "backbone."},
                            Names{"mistral", "MistralForCausalLM"},
                            Names{"olmo", "OlmoForCausalLM"},
                            Names{"olmo2", "Olmo2ForCausalLM"},
                            Names{"olmo3", "Olmo3ForCausalLM"},
                            Names{"opt", "OPTForCausalLM"},
                            Names{"phi3", "Phi3ForCausalLM"},
                            Names{"qwen2", "Qwen2ForCausalLM"},
                            Names{"qwen3", "Qwen3ForCausalLM"},
                            Names{"qwen3_moe", "Qwen3MoeForCausalLM"},
                            Names{"smollm3", "SmolLM3ForCausalLM"}};

}  // namespace

std::string_view architecture_of_model_type(std::string_view model_type) {
    const auto found = std::ranges::find(kNames, model_type, &Names::model_type);
    return found == kNames.end() ? std::string_view() : found->architecture;
}

std::string base_prefix_of(std::string_view architecture) {
    const auto found = std::ranges::find(kNames, architecture, &Names::architecture);
    return std::string(found == kNames.end() ? Names{}.base_prefix : found->base_prefix);
}

}  // namespace memcap::models
