// Mamba: convolution, selective scan and gate in each layer, no attention.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstdint>
#include <vector>

#include "memcap/nn/norm.hpp"
#include "memcap/nn/state_space.hpp"
#include "models/families/blocks.hpp"
#include "models/families/family.hpp"
#include "models/families/mamba_keys.hpp"

// Shapes: C channels (intermediate_size), S states of a channel, R rank of the step sizes.
namespace memcap::models::families {

namespace {

/// The keys of transformers' MambaConfig that decide the numbers, under their names there.
struct MambaConfig {
    MambaSizes sizes;
    std::int32_t time_step_rank;
    bool tie_word_embeddings;
};

std::int32_t read_time_step_rank(const hub::ModelConfig& config, std::int32_t hidden_size) {
    const std::int32_t automatic = (hidden_size + 15) / 16;
    if (!config.has("time_step_rank") || config.is_text("time_step_rank")) {
        if (config.text("time_step_rank", "auto") != "auto")
            config.reject("time_step_rank", "it is neither a number nor 'auto'");
        return automatic;
    }
    return config.size("time_step_rank");
}

MambaConfig read_config(const hub::ModelConfig& config) {
    config.allow_only(with_mamba_keys({"time_step_rank"}), "mamba");
    const MambaSizes sizes = read_mamba_sizes(
        config, {.vocab_size = 50280, .hidden_size = 768, .state_size = 16, .num_hidden_layers = 32});
    return {.sizes = sizes,
            .time_step_rank = read_time_step_rank(config, sizes.hidden_size),
            .tie_word_embeddings = config.boolean("tie_word_embeddings", true)};
}

Description describe(const hub::ModelConfig& config) {
    const MambaConfig c = read_config(config);
    const std::int64_t hidden = c.sizes.hidden_size;
    const std::int64_t inner = c.sizes.intermediate_size;
    const std::int64_t rank = c.time_step_rank;
    const std::int64_t state = c.sizes.state_size;
    std::int64_t mixer = hidden * 2 * inner + inner * c.sizes.conv_kernel + inner * (rank + 2 * state) +
                         rank * inner + inner + inner * state + inner + inner * hidden;
    if (c.sizes.use_conv_bias == Bias::present) mixer += inner;
    if (c.sizes.use_bias == Bias::present) mixer += 2 * inner + hidden;
    Description description = describe_mamba("mamba", c.sizes, mixer + hidden, c.tie_word_embeddings);
    // Inputs of the two activations, of softplus and of the scan, and both sides of the gate.
    description.kept_floats =
        (kept_by_rms_norm(hidden) + 7 * inner + 2 * state) * c.sizes.num_hidden_layers + 1;
    return description;
}

struct Layer {
    at::Tensor norm;
    nn::Linear in;           // rows: x, then the gate
    at::Tensor taps;         // [C, k]
    at::Tensor taps_bias;    // [C] or undefined
    nn::Linear step_states;  // rows: step sizes in R, "B", "C"
    nn::Linear step;         // [C, R] with bias
    at::Tensor decay;        // [C, S]
    at::Tensor skip;         // [C]
    nn::Linear out;
};

class Mamba final : public Decoder {
  public:
    Mamba(const MambaConfig& c, Description description, const nn::WeightReader& weights,
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
        const std::int64_t state = config_.sizes.state_size;
        const std::int64_t rank = config_.time_step_rank;
        const Bias bias = config_.sizes.use_bias;
        return {
            .norm = weights.vector(scope + "norm.weight", hidden),
            .in = read_linear(weights, mixer, {"in_proj"}, {2 * inner}, hidden, bias),
            .taps = read_taps(weights, mixer, inner, config_.sizes.conv_kernel),
            .taps_bias = config_.sizes.use_conv_bias == Bias::present
                             ? weights.vector(mixer + "conv1d.bias", inner)
                             : at::Tensor(),
            .step_states = read_linear(weights, mixer, {"x_proj"}, {rank + 2 * state}, inner, Bias::absent),
            .step = read_linear(weights, mixer, {"dt_proj"}, {inner}, rank, Bias::present),
            .decay = weights.values(mixer + "A_log", {inner, state}).exp().neg(),
            .skip = weights.vector(mixer + "D", inner),
            .out = read_linear(weights, mixer, {"out_proj"}, {hidden}, inner, bias)};
    }

    at::Tensor mix(const Layer& layer, const at::Tensor& projected, const nn::Segments& segments) const {
        const std::int64_t rank = config_.time_step_rank;
        const std::int64_t state = config_.sizes.state_size;
        const auto halves = projected.chunk(2, -1);
        const at::Tensor x_RC =
            nn::activate(nn::causal_convolution(halves[0], segments, layer.taps, layer.taps_bias),
                         config_.sizes.hidden_act);
        const at::Tensor parts = layer.step_states(x_RC);
        const at::Tensor y_RC =
            nn::selective_scan({.x = x_RC,
                                .step = nn::softplus(layer.step(parts.narrow(-1, 0, rank))),
                                .input = parts.narrow(-1, rank, state).unsqueeze(1),
                                .output = parts.narrow(-1, rank + state, state).unsqueeze(1)},
                               segments, layer.decay, layer.skip);
        return layer.out(y_RC * nn::activate(halves[1], config_.sizes.hidden_act));
    }

    MambaConfig config_;
    at::Tensor final_norm_;
    std::vector<Layer> layers_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    const MambaConfig c = read_config(config);
    const nn::Embedding embedding(read_mamba_embedding(weights, c.sizes));
    return std::make_unique<Mamba>(c, families::describe(config), weights, embedding);
}

}  // namespace

const Family kMamba{.architecture = "MambaForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
