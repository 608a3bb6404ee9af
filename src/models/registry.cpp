// The table of families.
#include "memcap/models/registry.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "memcap/base/errors.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/nn/random_weights.hpp"
#include "models/families/family.hpp"

namespace memcap::models {

namespace {

const std::array kFamilies{&families::kGemma2,  &families::kGemma3,  &families::kGemma3BesideImages,
                           &families::kGpt2,    &families::kGptNeoX, &families::kGraniteHybrid,
                           &families::kLlama,   &families::kMamba,   &families::kMamba2,
                           &families::kMistral, &families::kOlmo,    &families::kOlmo2,
                           &families::kOlmo3,   &families::kOpt,     &families::kPhi3,
                           &families::kQwen2,   &families::kQwen3,   &families::kQwen3Moe,
                           &families::kSmolLM3};

const families::Family& family_of(const hub::ModelConfig& config) {
    const std::string architecture = config.architecture();
    for (const auto* family : kFamilies) {
        if (family->architecture == architecture) return *family;
    }
    throw DataError(config.file(),
                    {.what = fmt::format("architecture '{}' is not supported", architecture),
                     .where = {},
                     .why = {},
                     .advice = fmt::format("Supported: {}", fmt::join(architectures(), ", "))});
}

}  // namespace

Description describe(const hub::ModelConfig& config) {
    return family_of(config).describe(config);
}

Description describe(const std::filesystem::path& folder) {
    return describe(hub::ModelConfig::load(folder));
}

std::unique_ptr<CausalLM> load(const std::filesystem::path& folder, Precision precision, at::Device device) {
    // An unknown model is to be named before missing weights.
    family_of(hub::ModelConfig::load(folder));
    return load(folder, hub::WeightFiles::open(folder), precision, device);
}

std::unique_ptr<CausalLM> load(const std::filesystem::path& folder, hub::WeightFiles files,
                               Precision precision, at::Device device) {
    const auto config = hub::ModelConfig::load(folder);
    const auto& family = family_of(config);
    nn::WeightReader weights(std::move(files), nn::product_mode(precision, device), device);
    auto model = family.build(config, weights);
    weights.share();
    return model;
}

std::unique_ptr<CausalLM> make_random(const hub::ModelConfig& config, Precision precision,
                                      at::Device device) {
    return family_of(config).build(config, nn::RandomWeights(nn::product_mode(precision, device), device));
}

std::vector<std::string> architectures() {
    std::vector<std::string> names;
    for (const auto* family : kFamilies) names.emplace_back(family->architecture);
    return names;
}

}  // namespace memcap::models
