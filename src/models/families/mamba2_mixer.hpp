// The mixer of Mamba-2 layers: heads with one decay each, groups of states, a norm behind the gate.
#pragma once

#include <cstdint>
#include <string>

#include "models/families/blocks.hpp"

// Shapes: R rows, D hidden width, C channels, H heads, d channels of a head, G groups, S states, k taps.
namespace memcap::models::families {

/// What decides a mixer.
struct Mamba2MixerConfig {
    std::int64_t hidden_size;        ///< D
    std::int64_t intermediate_size;  ///< C = H d
    std::int32_t num_heads;
    std::int32_t head_dim;
    std::int32_t n_groups;
    std::int32_t state_size;
    std::int32_t conv_kernel;
    double norm_epsilon;
    double shortest_step;
    double longest_step;
    Bias conv_bias;
    Bias projection_bias;
    nn::Activation hidden_act;

    std::int64_t state_width() const { return std::int64_t{n_groups} * state_size; }
    std::int64_t convolved_width() const { return intermediate_size + 2 * state_width(); }
    /// Rows of in_proj: the gate, what is convolved, a step size a head.
    std::int64_t projected_width() const { return intermediate_size + convolved_width() + num_heads; }
};

/// Reads `time_step_limit` and checks that heads and groups fit, whose keys are named `heads` and `groups`.
/// Throws DataError.
void complete_mixer(const hub::ModelConfig& config, std::string_view heads, std::string_view groups,
                    Mamba2MixerConfig& mixer);

/// in_proj, conv1d, dt_bias, A_log, D, norm and out_proj (transformers modeling_mamba2.py, Mamba2Mixer).
class Mamba2Mixer {
  public:
    Mamba2Mixer(const nn::WeightReader& weights, const std::string& scope, const Mamba2MixerConfig& config);

    /// x [R, D] -> what mix() takes
    at::Tensor project(const at::Tensor& x_RD) const { return in_(x_RD); }
    /// [R, D]
    at::Tensor mix(const at::Tensor& projected, const nn::Segments& segments) const;

    static std::int64_t parameters(const Mamba2MixerConfig& config);
    /// Floats that it keeps of a row.
    static std::int64_t kept(const Mamba2MixerConfig& config);

  private:
    Mamba2MixerConfig config_;
    nn::Linear in_;
    at::Tensor taps_;        // [C + 2 G S, k]
    at::Tensor taps_bias_;   // [C + 2 G S] or undefined
    at::Tensor step_bias_;   // [H]
    at::Tensor decay_;       // [C, 1]
    at::Tensor skip_;        // [C]
    at::Tensor gated_norm_;  // [G, C / G]
    nn::Linear out_;
};

}  // namespace memcap::models::families
