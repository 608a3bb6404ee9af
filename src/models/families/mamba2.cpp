// Mamba-2: heads with one decay each, groups of states, a norm behind the gate.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "memcap/nn/norm.hpp"
#include "memcap/nn/state_space.hpp"
#include "models/families/blocks.hpp"
#include "models/families/family.hpp"
#include "models/families/mamba_keys.hpp"

// Shapes: C channels (intermediate_size), H heads, d channels of a head, G groups, S states.
namespace memcap::models::families {

namespace {

/// The keys of transformers' Mamba2Config that decide the numbers, under their names there.
struct Mamba2Config {
    MambaSizes sizes;
    std::int32_t num_heads;
    std::int32_t head_dim;
    std::int32_t n_groups;
    double shortest_step;  ///< time_step_limit
    double longest_step;
    bool tie_word_embeddings;

    std::int64_t state_width() const { return std::int64_t{n_groups} * sizes.state_size; }
    std::int64_t convolved_width() const { return sizes.intermediate_size + 2 * state_width(); }
    /// Rows of in_proj: the gate, what is convolved, a step size a head.
    std::int64_t projected_width() const { return sizes.intermediate_size + convolved_width() + num_heads; }
};

Mamba2Config read_config(const hub::ModelConfig& config) {
    // time_step_rank is Mamba's.
    config.allow_only(
        with_mamba_keys({"num_heads", "head_dim", "n_groups", "time_step_limit", "time_step_rank"}),
        "mamba2");
    Mamba2Config c{};
    c.sizes = read_mamba_sizes(
        config, {.vocab_size = 32768, .hidden_size = 4096, .state_size = 128, .num_hidden_layers = 64});
    c.num_heads = config.size("num_heads", 128);
    c.head_dim = config.size("head_dim", 64);
    c.n_groups = config.size("n_groups", 8);
    if (std::int64_t{c.num_heads} * c.head_dim != c.sizes.intermediate_size)
        config.reject("num_heads", "times head_dim it is not expand * hidden_size");
    if (c.num_heads % c.n_groups != 0) config.reject("n_groups", "it does not divide num_heads");
    const auto limit = config.has("time_step_limit") ? config.numbers("time_step_limit")
                                                     : std::vector<double>{0.0, INFINITY};
    if (limit.size() != 2 || !(limit[0] <= limit[1]))
        config.reject("time_step_limit", "it is not a pair of a lower and an upper limit");
    c.shortest_step = limit[0];
    c.longest_step = limit[1];
    c.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
    return c;
}

Description describe(const hub::ModelConfig& config) {
    const Mamba2Config c = read_config(config);
    const std::int64_t hidden = c.sizes.hidden_size;
    const std::int64_t inner = c.sizes.intermediate_size;
    std::int64_t mixer = hidden * c.projected_width() + c.convolved_width() * c.sizes.conv_kernel +
                         std::int64_t{3} * c.num_heads + inner + inner * hidden;
    if (c.sizes.use_conv_bias == Bias::present) mixer += c.convolved_width();
    if (c.sizes.use_bias == Bias::present) mixer += c.projected_width() + hidden;
    Description description = describe_mamba("mamba2", c.sizes, mixer + hidden, c.tie_word_embeddings);
    // Inputs of the two activations, of clip, softplus and the scan, both sides of the gate, and the gated
    // norm.
    description.kept_floats = (kept_by_rms_norm(hidden) + c.convolved_width() +
                               std::int64_t{2} * c.num_heads + 6 * inner + 2 * c.state_width() + c.n_groups) *
                                  c.sizes.num_hidden_layers +
                              1;
    return description;
}

struct Layer {
    at::Tensor norm;
    nn::Linear in;
    at::Tensor taps;        // [C + 2 G S, k]
    at::Tensor taps_bias;   // [C + 2 G S] or undefined
    at::Tensor step_bias;   // [H]
    at::Tensor decay;       // [C, 1]
    at::Tensor skip;        // [C]
    at::Tensor gated_norm;  // [G, C / G]
    nn::Linear out;
};

class Mamba2 final : public Decoder {
  public:
    Mamba2(const Mamba2Config& c, Description description, const nn::WeightReader& weights,
           const nn::Embedding& embedding)
        : Decoder(std::move(description), embedding,
                  {read_head(weights, "lm_head.weight", embedding, c.tie_word_embeddings)}, weights.device()),
          config_(c),
          final_norm_(weights.vector("backbone.norm_f.weight", c.sizes.hidden_size)) {
        for (std::int32_t i = 0; i < c.sizes.num_hidden_layers; ++i)
            layers_.push_back(read_layer(weights, i));
    }

    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& /*position_R*/) const override {
        const Layer& first = layers_.front();
        return {first.in(normed(input_RE, first.norm))};
    }

    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        at::Tensor x_RD = input_RE;
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const Layer& layer = layers_[i];
            const at::Tensor projected = i == 0 ? row_parts.front() : layer.in(normed(x_RD, layer.norm));
            x_RD = x_RD + mix(layer, projected, segments);
        }
        return normed(x_RD, final_norm_);
    }

  private:
    at::Tensor normed(const at::Tensor& x, const at::Tensor& weight) const {
        return nn::rms_norm(x, weight, config_.sizes.layer_norm_epsilon, carried());
    }

    Layer read_layer(const nn::WeightReader& weights, std::int32_t index) const {
        const std::string scope = fmt::format("backbone.layers.{}.", index);
        const std::string mixer = scope + "mixer.";
        const std::int64_t hidden = config_.sizes.hidden_size;
        const std::int64_t inner = config_.sizes.intermediate_size;
        const Bias bias = config_.sizes.use_bias;
        const auto by_channel = [&](const char* name) {
            return weights.vector(mixer + name, config_.num_heads).repeat_interleave(config_.head_dim);
        };
        return {.norm = weights.vector(scope + "norm.weight", hidden),
                .in = read_linear(weights, mixer, {"in_proj"}, {config_.projected_width()}, hidden, bias),
                .taps = read_taps(weights, mixer, config_.convolved_width(), config_.sizes),
                .taps_bias = config_.sizes.use_conv_bias == Bias::present
                                 ? weights.vector(mixer + "conv1d.bias", config_.convolved_width())
                                 : at::Tensor(),
                .step_bias = weights.vector(mixer + "dt_bias", config_.num_heads),
                .decay = by_channel("A_log").exp().neg().unsqueeze(1),
                .skip = by_channel("D"),
                .gated_norm = weights.vector(mixer + "norm.weight", inner).reshape({config_.n_groups, -1}),
                .out = read_linear(weights, mixer, {"out_proj"}, {hidden}, inner, bias)};
    }

    at::Tensor mix(const Layer& layer, const at::Tensor& projected, const nn::Segments& segments) const {
        const std::int64_t inner = config_.sizes.intermediate_size;
        const std::int64_t states = config_.state_width();
        const at::Tensor gate_RC = projected.narrow(-1, 0, inner);
        const at::Tensor convolved =
            nn::activate(nn::causal_convolution(projected.narrow(-1, inner, config_.convolved_width()),
                                                segments, layer.taps, layer.taps_bias),
                         config_.sizes.hidden_act);
        const at::Tensor step_RH =
            nn::clip(nn::softplus(projected.narrow(-1, inner + config_.convolved_width(), config_.num_heads) +
                                  layer.step_bias),
                     config_.shortest_step, config_.longest_step);
        const auto in_groups = [&](std::int64_t start) {
            return convolved.narrow(-1, start, states)
                .unflatten(-1, {config_.n_groups, config_.sizes.state_size});
        };
        const at::Tensor y_RC = nn::selective_scan({.x = convolved.narrow(-1, 0, inner),
                                                    .step = step_RH.repeat_interleave(config_.head_dim, -1),
                                                    .input = in_groups(inner),
                                                    .output = in_groups(inner + states)},
                                                   segments, layer.decay, layer.skip);
        // transformers' gate is silu whatever hidden_act says.
        const at::Tensor gated_RC = y_RC * nn::activate(gate_RC, nn::Activation::silu);
        return layer.out(
            normed(gated_RC.unflatten(-1, {config_.n_groups, -1}), layer.gated_norm).flatten(-2));
    }

    Mamba2Config config_;
    at::Tensor final_norm_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const Mamba2Config c = read_config(config);
    const nn::Embedding embedding(read_mamba_embedding(weights, c.sizes));
    return std::make_unique<Mamba2>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kMamba2{.architecture = "Mamba2ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
