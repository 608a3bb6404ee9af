// Reading and running the mixer.
#include "models/families/mamba2_mixer.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "memcap/nn/norm.hpp"
#include "memcap/nn/state_space.hpp"
#include "models/families/mamba_keys.hpp"

namespace memcap::models::families {

void complete_mixer(const hub::ModelConfig& config, std::string_view heads, std::string_view groups,
                    Mamba2MixerConfig& mixer) {
    if (std::int64_t{mixer.num_heads} * mixer.head_dim != mixer.intermediate_size)
        config.reject(heads, "times the channels of a head it is not the number of channels");
    if (mixer.num_heads % mixer.n_groups != 0)
        config.reject(groups, "it does not divide the number of heads");
    const auto limit = config.has("time_step_limit") ? config.numbers("time_step_limit")
                                                     : std::vector<double>{0.0, INFINITY};
    if (limit.size() != 2 || !(limit[0] <= limit[1]))
        config.reject("time_step_limit", "it is not a pair of a lower and an upper limit");
    mixer.shortest_step = limit[0];
    mixer.longest_step = limit[1];
}

Mamba2Mixer::Mamba2Mixer(const nn::WeightReader& weights, const std::string& scope,
                         const Mamba2MixerConfig& config)
    : config_(config) {
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t inner = config.intermediate_size;
    const std::int64_t convolved = config.convolved_width();
    const auto by_channel = [&](const char* name) {
        return weights.vector(scope + name, config.num_heads).repeat_interleave(config.head_dim);
    };
    in_ =
        read_linear(weights, scope, {"in_proj"}, {config.projected_width()}, hidden, config.projection_bias);
    taps_ = read_taps(weights, scope, convolved, config.conv_kernel);
    if (config.conv_bias == Bias::present) taps_bias_ = weights.vector(scope + "conv1d.bias", convolved);
    step_bias_ = weights.vector(scope + "dt_bias", config.num_heads);
    decay_ = by_channel("A_log").exp().neg().unsqueeze(1);
    skip_ = by_channel("D");
    gated_norm_ = weights.vector(scope + "norm.weight", inner).reshape({config.n_groups, -1});
    out_ = read_linear(weights, scope, {"out_proj"}, {hidden}, inner, config.projection_bias);
}

at::Tensor Mamba2Mixer::mix(const at::Tensor& projected, const nn::Segments& segments) const {
    const std::int64_t inner = config_.intermediate_size;
    const std::int64_t states = config_.state_width();
    const at::Tensor gate_RC = projected.narrow(-1, 0, inner);
    const at::Tensor convolved =
        nn::activate(nn::causal_convolution(projected.narrow(-1, inner, config_.convolved_width()), segments,
                                            taps_, taps_bias_),
                     config_.hidden_act);
    const at::Tensor step_RH = nn::clip(
        nn::softplus(projected.narrow(-1, inner + config_.convolved_width(), config_.num_heads) + step_bias_),
        config_.shortest_step, config_.longest_step);
    const auto in_groups = [&](std::int64_t start) {
        return convolved.narrow(-1, start, states).unflatten(-1, {config_.n_groups, config_.state_size});
    };
    const at::Tensor y_RC = nn::selective_scan({.x = convolved.narrow(-1, 0, inner),
                                                .step = step_RH.repeat_interleave(config_.head_dim, -1),
                                                .input = in_groups(inner),
                                                .output = in_groups(inner + states)},
                                               segments, decay_, skip_);
    // transformers' gate is silu whatever hidden_act says.
    const at::Tensor gated_RC = y_RC * nn::activate(gate_RC, nn::Activation::silu);
    const at::Tensor normed = nn::rms_norm(gated_RC.unflatten(-1, {config_.n_groups, -1}), gated_norm_,
                                           config_.norm_epsilon, out_.mode().carried);
    return out_(normed.flatten(-2));
}

std::int64_t Mamba2Mixer::parameters(const Mamba2MixerConfig& config) {
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t inner = config.intermediate_size;
    std::int64_t count = hidden * config.projected_width() + config.convolved_width() * config.conv_kernel +
                         std::int64_t{3} * config.num_heads + inner + inner * hidden;
    if (config.conv_bias == Bias::present) count += config.convolved_width();
    if (config.projection_bias == Bias::present) count += config.projected_width() + hidden;
    return count;
}

std::int64_t Mamba2Mixer::kept(const Mamba2MixerConfig& config) {
    // Inputs of the two activations, of clip, softplus and the scan, both sides of the gate, and the gated
    // norm.
    return config.convolved_width() + std::int64_t{2} * config.num_heads + 6 * config.intermediate_size +
           2 * config.state_width() + config.n_groups;
}

}  // namespace memcap::models::families
