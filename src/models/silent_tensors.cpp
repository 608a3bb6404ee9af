// _keys_to_ignore_on_load_unexpected of the families and of modeling_utils.py, and buffers of old versions.
#include "models/silent_tensors.hpp"

#include <algorithm>
#include <array>

namespace memcap::models {

namespace {

enum class Place { anywhere, end, beginning };

struct Silent {
    std::string_view architecture;  ///< empty: of any
    Place place;
    std::string_view text;
};

constexpr std::array kSilent{
    Silent{"", Place::anywhere, "rotary_emb.inv_freq"},
    Silent{"", Place::end, "position_ids"},
    Silent{"GPTNeoXForCausalLM", Place::end, ".attention.bias"},
    Silent{"GPTNeoXForCausalLM", Place::end, ".attention.masked_bias"},
    Silent{"GPT2LMHeadModel", Place::end, ".attn.bias"},
    Silent{"GPT2LMHeadModel", Place::end, ".attn.masked_bias"},
    // The layout of fairseq, which OPT was trained with.
    Silent{"OPTForCausalLM", Place::end, "decoder.version"},
    Silent{"Gemma3ForConditionalGeneration", Place::beginning, "vision_tower."},
    Silent{"Gemma3ForConditionalGeneration", Place::beginning, "multi_modal_projector."},
    Silent{"Gemma3ForConditionalGeneration", Place::beginning, "model.vision_tower."},
    Silent{"Gemma3ForConditionalGeneration", Place::beginning, "model.multi_modal_projector."},
};

bool fits(const Silent& silent, std::string_view tensor) {
    switch (silent.place) {
        case Place::anywhere:
            return tensor.find(silent.text) != std::string_view::npos;
        case Place::end:
            return tensor.ends_with(silent.text);
        case Place::beginning:
            break;
    }
    return tensor.starts_with(silent.text);
}

}  // namespace

bool is_silent(std::string_view architecture, std::string_view tensor) {
    return std::ranges::any_of(kSilent, [&](const Silent& silent) {
        return (silent.architecture.empty() || silent.architecture == architecture) && fits(silent, tensor);
    });
}

}  // namespace memcap::models
