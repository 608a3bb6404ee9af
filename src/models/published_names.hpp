// Names that transformers has for a family besides its architecture.
#pragma once

#include <string>
#include <string_view>

namespace memcap::models {

/// The architecture that transformers' AutoModelForCausalLM builds for a `model_type` (modeling_auto.py);
/// empty for one that memcap does not know.
std::string_view architecture_of_model_type(std::string_view model_type);

/// What names of tensors begin with in a model with a head and lack in one saved without: base_model_prefix
/// of its class in transformers and a dot.
std::string base_prefix_of(std::string_view architecture);

}  // namespace memcap::models
