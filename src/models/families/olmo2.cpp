// OLMo-2: norms behind attention and MLP, every layer sees all positions.

#include <vector>

#include "models/families/family.hpp"
#include "models/families/post_norm_decoder.hpp"

namespace memcap::models::families {

namespace {

/// The keys of transformers' Olmo2Config that decide the numbers, under their names there.
struct Olmo2Config {
    PostNormConfig common;
    nn::RotaryConfig rotary;
};

Olmo2Config read_config(const hub::ModelConfig& config) {
    config.allow_only(with_post_norm_keys({}), "olmo2");
    const PostNormConfig common = read_post_norm_config(config);
    return {.common = common, .rotary = read_rotary(config, common.sizes)};
}

Description describe(const hub::ModelConfig& config) {
    const Olmo2Config c = read_config(config);
    return describe_post_norm("olmo2", c.common, c.rotary);
}

class Olmo2 final : public PostNormDecoder {
  public:
    Olmo2(const Olmo2Config& c, Description description, const nn::WeightReader& weights)
        : PostNormDecoder(c.common, std::move(description), weights),
          rotary_(c.rotary, c.rotary.context_tokens, weights.device()) {}

  private:
    Sight sight(std::size_t /*index*/) const override { return {.rotary = &rotary_, .window = 0}; }

    nn::RotaryTable rotary_;
};

std::unique_ptr<CausalLM> build(const hub::ModelConfig& config, const nn::WeightReader& weights) {
    return std::make_unique<Olmo2>(read_config(config), families::describe(config), weights);
}

}  // namespace

const Family kOlmo2{.architecture = "Olmo2ForCausalLM", .describe = describe, .build = build};

}  // namespace memcap::models::families
