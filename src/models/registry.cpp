// The table of families.
#include "memcap/models/registry.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "memcap/base/errors.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/nn/random_weights.hpp"
#include "memcap/nn/weight_names.hpp"
#include "models/families/family.hpp"
#include "models/published_names.hpp"
#include "models/silent_tensors.hpp"

namespace memcap::models {

namespace {

const std::array kFamilies{&families::kGemma2,  &families::kGemma3,  &families::kGemma3BesideImages,
                           &families::kGpt2,    &families::kGptNeoX, &families::kGraniteHybrid,
                           &families::kLlama,   &families::kMamba,   &families::kMamba2,
                           &families::kMistral, &families::kOlmo,    &families::kOlmo2,
                           &families::kOlmo3,   &families::kOpt,     &families::kPhi3,
                           &families::kQwen2,   &families::kQwen3,   &families::kQwen3Moe,
                           &families::kSmolLM3};

const families::Family* family_named(std::string_view architecture) {
    const auto found = std::ranges::find(kFamilies, architecture, [](const families::Family* family) {
        return std::string_view(family->architecture);
    });
    return found == kFamilies.end() ? nullptr : *found;
}

/// The architecture that transformers' AutoModelForCausalLM would build where config.json names none, or that
/// of a body alone, as AutoModel saves it; empty if there is no telling.
std::string_view architecture_by_type(const hub::ModelConfig& config) {
    if (!config.is_text("model_type")) return {};
    if (config.names_architecture() && !config.architecture().ends_with("Model")) return {};
    return architecture_of_model_type(config.text("model_type"));
}

[[noreturn]] void fail_mamba_ssm(const hub::ModelConfig& config) {
    throw DataError(
        config.file(),
        {.what = "this is a model of the package mamba_ssm",
         .where = {},
         .why = "its config.json and pytorch_model.bin have a layout of their own",
         .advice = "Get the same model in transformers' layout: the repository whose name ends in "
                   "-hf, such as state-spaces/mamba-130m-hf"});
}

const families::Family& family_of(const hub::ModelConfig& config) {
    const bool named = config.names_architecture();
    if (const auto* family = named ? family_named(config.architecture()) : nullptr) return *family;
    if (const auto* family = family_named(architecture_by_type(config))) return *family;
    // Files that were converted for transformers keep these keys beside an architecture and a type.
    if (!named && config.has("d_model") && config.has("ssm_cfg")) fail_mamba_ssm(config);
    const std::string architecture = config.architecture();
    throw DataError(config.file(),
                    {.what = fmt::format("architecture '{}' is not supported", architecture),
                     .where = {},
                     .why = {},
                     .advice = fmt::format("Supported: {}", fmt::join(architectures(), ", "))});
}

}  // namespace

Description describe(const hub::ModelConfig& config) {
    const auto& family = family_of(config);
    Description description;
    config.read_naming_all([&](const hub::ModelConfig& part) { description = family.describe(part); });
    description.ignored_config_keys = config.ignored_keys();
    return description;
}

Description describe(const std::filesystem::path& folder) {
    return describe(hub::ModelConfig::load(folder));
}

std::unique_ptr<CausalLM> load(const std::filesystem::path& folder, Precision precision, at::Device device) {
    // An unknown model is to be named before missing weights.
    const auto config = hub::ModelConfig::load(folder);
    family_of(config);
    return load(config, std::make_shared<const hub::WeightFiles>(hub::WeightFiles::open(folder)), precision,
                device);
}

std::unique_ptr<CausalLM> load(const hub::ModelConfig& config, std::shared_ptr<const hub::WeightFiles> files,
                               Precision precision, at::Device device) {
    const auto& family = family_of(config);
    nn::WeightReader weights(std::move(files), nn::product_mode(precision, device), device,
                             base_prefix_of(family.architecture));
    auto model = family.build(config, weights);
    weights.share();
    return model;
}

std::vector<std::string> unread_weights(const hub::ModelConfig& config,
                                        std::shared_ptr<const hub::WeightFiles> files) {
    const auto& family = family_of(config);
    const auto& tensors = files->tensors();
    const nn::WeightNames names(std::move(files), base_prefix_of(family.architecture));
    family.build(config, names);
    std::vector<std::string> unread;
    for (const auto& [name, tensor] : tensors) {
        if (!names.asked().contains(name) && !is_silent(family.architecture, name)) unread.push_back(name);
    }
    return unread;
}

std::string unread_text(const std::vector<std::string>& names) {
    constexpr std::size_t kNamed = 3;
    if (names.empty()) return {};
    const std::span first(names.data(), std::min(kNamed, names.size()));
    std::string text = fmt::format("{}: {}", names.size(), fmt::join(first, ", "));
    if (names.size() > kNamed) text += fmt::format(" and {} more", names.size() - kNamed);
    return text;
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
