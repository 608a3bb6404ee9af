// Rotary position embedding and the scalings of its frequencies.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "memcap/nn/segments.hpp"

namespace memcap::nn {

/// Scaling `llama3` (transformers modeling_rope_utils.py, _compute_llama3_parameters).
struct Llama3Scaling {
    double factor = 8.0;
    double low_frequency_factor = 1.0;
    double high_frequency_factor = 4.0;
    double original_context_tokens = 8192.0;
};

/// Scaling `yarn` (_compute_yarn_parameters there): pairs that turn slowly are slowed down by `factor`, those
/// that turn fast stay.
struct YarnScaling {
    double factor = 1.0;
    double fast_turns = 32.0;  ///< `beta_fast`: pairs with more turns in the original context stay
    double slow_turns = 1.0;   ///< `beta_slow`: those with fewer are slowed down by the whole factor
    bool whole_pairs = true;   ///< `truncate`: the band between the two is rounded outwards to whole pairs
    double original_context_tokens = 8192.0;
};

/// Scaling `longrope` (_compute_longrope_parameters there): each pair is slowed down by a factor of its own,
/// and by another one in inputs that are longer than the original context.
struct LongRopeScaling {
    std::vector<double> short_factors;  ///< [head_width / 2]
    std::vector<double> long_factors;
    std::int64_t original_context_tokens = 0;
};

/// Scaling `dynamic` (_compute_dynamic_ntk_parameters there): the base grows with the length of inputs that
/// are longer than the original context.
struct DynamicScaling {
    double factor = 1.0;
    std::int64_t original_context_tokens = 0;
};

struct RotaryConfig {
    std::int32_t head_width = 0;  ///< rotated elements of a head
    double theta = 10000.0;
    double linear_factor = 1.0;  ///< scaling `linear`: positions are divided by it
    std::optional<Llama3Scaling> llama3;
    std::optional<YarnScaling> yarn = std::nullopt;
    std::optional<LongRopeScaling> longrope = std::nullopt;
    std::optional<DynamicScaling> dynamic = std::nullopt;
    double attention_factor = 1.0;    ///< cosines and sines are multiplied by it
    std::int32_t context_tokens = 0;  ///< the longest input that the scaling is made for

    /// The longest input that rotates as shorter ones do; none where all do.
    std::optional<std::int64_t> common_tokens() const;
};

/// Cosines and sines [rows, head_width / 2] by position.
struct Rotation {
    at::Tensor cosine;
    at::Tensor sine;
};

/// Rotations by position, computed as transformers does: frequencies, angles and tables in float32. The
/// tables reach as far as what was rotated so far, since a context can be a thousand times as long as any
/// trial. How an input rotates depends on its own length alone, never on what was rotated before or lies
/// beside it. One thread at a time may rotate by them.
class RotaryTable {
  public:
    RotaryTable() = default;
    /// `positions`: the longest input that may be rotated.
    RotaryTable(const RotaryConfig& config, std::int32_t positions, at::Device device);

    /// Rotates x [B, T, H, d] float32, position = index in T; slots are as long as `segments` says, and pads
    /// follow up to T. The first head_width elements of each head are rotated, their halves paired
    /// (rotate_half); the rest stays.
    at::Tensor rotate(const at::Tensor& x, const Segments& segments) const;
    /// The same for slots without pads.
    at::Tensor rotate(const at::Tensor& x) const;
    /// What inputs of these lengths rotate by, at least as many rows each: one for all where they share it,
    /// else one a slot.
    std::vector<Rotation> rotations(const Segments& segments) const;
    /// Positions that the tables of inputs within the common length hold now.
    std::int64_t table_positions() const;

  private:
    /// The table of one set of frequencies. Grown when a longer input comes; steps that were recorded before
    /// keep what they hold.
    struct Table {
        at::Tensor frequency;  ///< [head_width / 2], on the CPU
        Rotation rotation;
        // Former tables of a GPU: steps recorded there go on reading them. Together they are smaller than the
        // last.
        std::vector<Rotation> former;
    };

    Table& table_of(std::int64_t length) const;
    Rotation rotation(std::int64_t length) const;

    RotaryConfig config_;
    std::int64_t positions_ = 0;
    at::Device device_ = at::kCPU;
    mutable Table common_;
    mutable std::map<std::int64_t, Table> beyond_;  ///< by length; of longrope under one key
};

}  // namespace memcap::nn
