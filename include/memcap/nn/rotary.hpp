// Rotary position embedding and the scalings of its frequencies.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

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

/// Rotations by position, computed as transformers does: frequencies, angles and tables in float32. The
/// tables reach as far as what was rotated so far, since a context can be a thousand times as long as any
/// trial. One thread at a time may rotate by them.
class RotaryTable {
  public:
    RotaryTable() = default;
    /// `positions`: the longest input that may be rotated.
    RotaryTable(const RotaryConfig& config, std::int32_t positions, at::Device device);

    /// Rotates x [B, T, H, d] float32, position = index in T. The first head_width elements of each head are
    /// rotated, their halves paired (rotate_half); the rest stays.
    at::Tensor rotate(const at::Tensor& x) const;
    /// Cosines and sines [rows, head_width / 2] of at least so many positions, for code that rotates by
    /// itself.
    std::pair<at::Tensor, at::Tensor> tables(std::int64_t positions) const;
    /// Positions that the tables hold now.
    std::int64_t table_positions() const { return cosine_.defined() ? cosine_.size(0) : 0; }

  private:
    void reach(std::int64_t positions) const;

    std::int64_t positions_ = 0;
    at::Device device_ = at::kCPU;
    at::Tensor frequency_;  // [head_width / 2], on the CPU
    // Grown when a longer input comes; graphs that were made before keep the tables they hold.
    mutable at::Tensor cosine_;  // [rows, head_width / 2]
    mutable at::Tensor sine_;
    // Former tables of a GPU: steps recorded there go on reading them. Together they are smaller than the
    // last.
    mutable std::vector<at::Tensor> former_;
};

}  // namespace memcap::nn
