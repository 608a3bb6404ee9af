// Rotary position embedding and the scalings of its frequencies.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace memcap::nn {

/// Scaling `llama3` (transformers modeling_rope_utils.py, _compute_llama3_parameters).
struct Llama3Scaling {
    double factor = 8.0;
    double low_frequency_factor = 1.0;
    double high_frequency_factor = 4.0;
    double original_context_tokens = 8192.0;
};

struct RotaryConfig {
    std::int32_t head_width = 0;  ///< rotated elements of a head
    double theta = 10000.0;
    double linear_factor = 1.0;  ///< scaling `linear`: positions are divided by it
    std::optional<Llama3Scaling> llama3;
};

/// Rotations of the first positions, computed as transformers does: frequencies, angles and tables in
/// float32.
class RotaryTable {
  public:
    RotaryTable() = default;
    RotaryTable(const RotaryConfig& config, std::int32_t positions, at::Device device);

    /// Rotates x [B, T, H, d] float32, position = index in T. The first head_width elements of each head are
    /// rotated, their halves paired (rotate_half); the rest stays.
    at::Tensor rotate(const at::Tensor& x) const;

  private:
    at::Tensor cosine_;  // [positions, head_width / 2]
    at::Tensor sine_;
};

}  // namespace memcap::nn
