// OLMo-3: OLMo-2 with windows in three layers of four; the fourth alone has a scaling of its rotation.

#include <algorithm>
#include <string>
#include <vector>

#include "models/families/family.hpp"
#include "models/families/post_norm_decoder.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Olmo3Config that decide the numbers, under their names there.
struct Olmo3Config {
    PostNormConfig common;
    std::vector<bool> slides;  ///< by layer
    std::int64_t sliding_window;
    nn::RotaryConfig global_rotary;
    nn::RotaryConfig local_rotary;
};

constexpr double kDefaultTheta = 5e5;

/// One rotation beside or in place of those by type of layer. transformers 5.0.0 wrote and read it so, for
/// every layer; since then the class has no eyes for it.
void check_flat_rotation(const hub::ModelConfig& config, const hub::ModelConfig& rope) {
    std::vector<std::string> flat = rope.keys();
    std::erase_if(flat, [](const std::string& key) { return key.ends_with("_attention"); });
    const bool is_default = std::ranges::all_of(flat, [&rope](const std::string& key) {
        return (key == "rope_type" && rope.text(key) == "default") ||
               (key == "rope_theta" && rope.number(key) == kDefaultTheta);
    });
    if (is_default) return;
    config.reject("rope_parameters",
                  "it has one rotation for all layers, by which transformers 5.0 computes and later versions "
                  "do not",
                  "Use the config.json that the model was published with; or, to compute as transformers 5.0 "
                  "does, write {\"full_attention\": X, \"sliding_attention\": X} in its place, X being the "
                  "object as it is");
}

/// Until transformers 4 by rope_theta and rope_scaling, since then by one object a type of layer.
void read_rotaries(const hub::ModelConfig& config, Olmo3Config& c) {
    const Sizes& sizes = c.common.sizes;
    if (sizes.head_dim % 2 != 0) config.reject("head_dim", "rotary embedding needs an even width");
    c.global_rotary = plain_rotary(sizes, config.number("rope_theta", kDefaultTheta));
    // transformers 5 has used up rope_theta by then; every published file says the default.
    c.local_rotary = plain_rotary(sizes, kDefaultTheta);
    if (const auto both = config.object("rope_parameters")) {
        check_flat_rotation(config, *both);
        both->allow_only({"full_attention", "sliding_attention", "rope_type", "rope_theta"});
        read_layer_scaling(*both, "full_attention", c.global_rotary);
        read_layer_scaling(*both, "sliding_attention", c.local_rotary);
        reject_rotation_by_length(*both, "sliding_attention", c.local_rotary);
    }
    read_layer_scaling(config, "rope_scaling", c.global_rotary);
}

Olmo3Config read_config(const hub::ModelConfig& config) {
    config.allow_only(with_post_norm_keys({"sliding_window", "layer_types"}), "olmo3");
    Olmo3Config c{};
    c.common = read_post_norm_config(config);
    std::vector<bool> all_but_each_fourth;
    for (std::int32_t i = 0; i < c.common.sizes.num_hidden_layers; ++i)
        all_but_each_fourth.push_back((i + 1) % 4 != 0);
    c.slides = read_sliding_layers(config, all_but_each_fourth);
    if (config.is_null("sliding_window"))
        config.reject("sliding_window", "layers with a window need its width");
    c.sliding_window = config.size("sliding_window", 4096);
    read_rotaries(config, c);
    return c;
}

Description describe(const hub::ModelConfig& config) {
    const Olmo3Config c = read_config(config);
    return describe_post_norm("olmo3", c.common, c.global_rotary);
}

class Olmo3 final : public PostNormDecoder {
  public:
    Olmo3(const Olmo3Config& c, Description description, const nn::WeightReader& weights)
        : PostNormDecoder(c.common, std::move(description), weights),
          slides_(c.slides),
          sliding_window_(c.sliding_window),
          global_rotary_(c.global_rotary, c.global_rotary.context_tokens, weights.device()),
          local_rotary_(c.local_rotary, c.global_rotary.context_tokens, weights.device()) {}

  private:
    Sight sight(std::size_t index) const override {
        if (slides_[index]) return {.rotary = &local_rotary_, .window = sliding_window_};
        return {.rotary = &global_rotary_, .window = 0};
    }

    std::vector<bool> slides_;
    std::int64_t sliding_window_;
    nn::RotaryTable global_rotary_;
    nn::RotaryTable local_rotary_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Olmo3>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kOlmo3{.architecture = "Olmo3ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
