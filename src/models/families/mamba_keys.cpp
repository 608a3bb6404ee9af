// Shared parts of the state-space families.
#include "models/families/mamba_keys.hpp"

#include <ATen/ATen.h>

namespace memcap::models::families {

std::vector<std::string_view> with_mamba_keys(std::vector<std::string_view> others) {
    // From d_model on they repeat others, or say what every such model has.
    for (const std::string_view key :
         {"vocab_size", "hidden_size", "state_size", "num_hidden_layers", "intermediate_size", "expand",
          "conv_kernel", "layer_norm_epsilon", "use_conv_bias", "use_bias", "hidden_act",
          "tie_word_embeddings", "d_model", "d_inner", "n_layer", "ssm_cfg", "rms_norm", "fused_add_norm",
          "pad_vocab_size_multiple"}) {
        others.push_back(key);
    }
    return others;
}

MambaSizes read_mamba_sizes(const hub::ModelConfig& config, const MambaSizes& defaults) {
    MambaSizes sizes = defaults;
    sizes.vocab_size = config.size("vocab_size", defaults.vocab_size);
    sizes.hidden_size = config.size("hidden_size", defaults.hidden_size);
    sizes.state_size = config.size("state_size", defaults.state_size);
    sizes.num_hidden_layers = config.size("num_hidden_layers", defaults.num_hidden_layers);
    const double channels = config.number("expand", 2.0) * sizes.hidden_size;
    if (!(channels >= 1.0 && channels < 1e9))
        config.reject("expand", "it gives no usable number of channels");
    sizes.intermediate_size = static_cast<std::int32_t>(channels);
    sizes.conv_kernel = config.size("conv_kernel", 4);
    sizes.layer_norm_epsilon = config.number("layer_norm_epsilon", 1e-5);
    sizes.use_conv_bias = Bias{config.boolean("use_conv_bias", true)};
    sizes.use_bias = Bias{config.boolean("use_bias", false)};
    sizes.hidden_act = read_activation(config, "hidden_act", "silu");
    return sizes;
}

Description describe_mamba(const char* family, const MambaSizes& sizes, std::int64_t layer_parameters,
                           bool tied) {
    Description description;
    description.family = family;
    description.layers = sizes.num_hidden_layers;
    description.width = sizes.hidden_size;
    description.memory_width = sizes.hidden_size;
    description.mlp_width = sizes.intermediate_size;
    description.scan_states = std::int64_t{sizes.intermediate_size} * sizes.state_size;
    description.vocabulary_size = sizes.vocab_size;
    description.embedding_parameters = std::int64_t{sizes.hidden_size} * sizes.vocab_size;
    description.block_parameters = layer_parameters * sizes.num_hidden_layers + sizes.hidden_size;
    description.head_parameters = description.embedding_parameters;
    description.tied_head = tied;
    return description;
}

at::Tensor read_taps(const nn::WeightReader& weights, const std::string& mixer_scope, std::int64_t channels,
                     std::int32_t taps) {
    return weights.values(mixer_scope + "conv1d.weight", {channels, 1, taps}).squeeze(1);
}

nn::Embedding read_mamba_embedding(const nn::WeightReader& weights, const MambaSizes& sizes) {
    const char* name = weights.contains("backbone.embedding.weight") ? "backbone.embedding.weight"
                                                                     : "backbone.embeddings.weight";
    return nn::Embedding(weights.matrix(name, {sizes.vocab_size, sizes.hidden_size}));
}

}  // namespace memcap::models::families
