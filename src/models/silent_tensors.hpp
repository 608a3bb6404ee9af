// Tensors of weight files that mean nothing to a model.
#pragma once

#include <string_view>

namespace memcap::models {

/// Whether a tensor that no layer reads is one that transformers, too, leaves aside without a word: buffers
/// that versions of it saved, and what belongs to images.
bool is_silent(std::string_view architecture, std::string_view tensor);

}  // namespace memcap::models
