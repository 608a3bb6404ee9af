// memcap describe: what a model folder holds.
#include <fmt/format.h>

#include <filesystem>

#include "app/options.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/models/registry.hpp"

namespace memcap::app {

int describe_model(const Arguments& arguments) {
    const CommandSyntax syntax{.usage = "memcap describe MODEL_DIR",
                               .purpose = "Says what a model is, what would be loaded, and what is missing.",
                               .options = boost::program_options::options_description(),
                               .fewest_files = 1,
                               .most_files = 1};
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const std::filesystem::path folder = parsed->files.front();
    const models::Description d = models::describe(folder);
    fmt::print("family            {} ({})\n", d.family, hub::ModelConfig::load(folder).architecture());
    fmt::print("parameters        {:.3f} million (embedding {:.3f}, blocks {:.3f}, head {})\n",
               static_cast<double>(d.parameters()) / 1e6, static_cast<double>(d.embedding_parameters) / 1e6,
               static_cast<double>(d.block_parameters) / 1e6,
               d.tied_head ? "tied" : fmt::format("{:.3f}", static_cast<double>(d.head_parameters) / 1e6));
    if (d.query_heads > 0) {
        fmt::print("layers            {} of width {}, {} query and {} key/value heads of {}, MLP {}\n",
                   d.layers, d.width, d.query_heads, d.key_value_heads, d.head_width, d.mlp_width);
    } else {
        fmt::print("layers            {} of width {}, {} channels, {} states each\n", d.layers, d.width,
                   d.mlp_width, d.scan_states / d.mlp_width);
    }
    fmt::print("memory width      {}\n", d.memory_width);
    fmt::print("context           {}\n",
               d.context_tokens > 0 ? fmt::format("{} tokens", d.context_tokens) : "no limit");
    fmt::print("vocabulary        {}\n", d.vocabulary_size);
    fmt::print("tokenizer         {}\n", hub::has_tokenizer(folder)
                                             ? "found"
                                             : "missing: tokenizer.json, or vocab.json with merges.txt");
    if (hub::weight_files(folder).empty()) {
        fmt::print("weights           missing: model.safetensors\n");
        return kDone;
    }
    const auto files = hub::WeightFiles::open(folder);
    fmt::print("weights           {} tensors, {:.1f} MB in {} file{}\n", files.tensors().size(),
               static_cast<double>(files.size_bytes()) / 1e6, files.files().size(),
               files.files().size() == 1 ? "" : "s");
    models::load(folder, Precision::float32, at::kMeta);
    fmt::print("checked           all tensors are there, of the right shape and finite\n");
    return kDone;
}

}  // namespace memcap::app
