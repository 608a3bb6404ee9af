// memcap describe: what a model folder holds, what loading it takes, and what a trial on it costs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/amounts.hpp"
#include "app/device_speed.hpp"
#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/preparation.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/hub/tokenizer_files.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/plan/cost.hpp"
#include "memcap/text/helper_paths.hpp"
#include "memcap/text/tokenizer_client.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;

double millions(std::int64_t count) {
    return static_cast<double>(count) / 1e6;
}

/// What keeps a run from using the folder, each in a few words.
using Obstacles = std::vector<std::string>;

/// Tells an error as the commands that end with it do, and notes it.
void meet(const Error& error, Obstacles& obstacles) {
    std::fflush(stdout);
    log::error(error.what());
    obstacles.push_back(error.text().what);
}

/// The last of a tokenizer's tokens, if the model has no input vector for it; else nothing.
std::string foreign_token_text(text::TokenizerClient& client, const fs::path& folder, std::int64_t size,
                               std::int64_t vocabulary_size) {
    if (size <= vocabulary_size) return {};
    const auto largest = static_cast<std::int32_t>(size - 1);
    return fmt::format(
        "; its largest token is {} ('{}'), which the vocabulary of {} lacks: texts that need such tokens "
        "cannot "
        "be measured",
        largest, client.decode(folder, std::vector{largest}), vocabulary_size);
}

/// What the tokenizer is, by loading it as a run does, or why that fails.
void print_tokenizer(const fs::path& folder, std::int64_t vocabulary_size, Obstacles& obstacles) {
    const char* name = "tokenizer         ";
    try {
        hub::check_tokenizer_files(folder);
        if (!hub::has_tokenizer(folder)) {
            fmt::print("{}missing: tokenizer.json, or vocab.json with merges.txt, or tokenizer.model\n",
                       name);
            obstacles.emplace_back("the tokenizer is missing");
            return;
        }
        const std::string executable = executable_path();
        text::TokenizerClient client(
            {.python = text::find_python({}, executable), .script = text::find_helper_script(executable)});
        const auto facts = client.open(folder);
        fmt::print("{}{}; puts {} before a text{}\n", name, facts.source,
                   facts.opening.empty() ? "nothing" : facts.opening_text,
                   foreign_token_text(client, folder, facts.size, vocabulary_size));
    } catch (const Error& error) {
        fmt::print("{}cannot be loaded: {}\n", name, error.what());
        obstacles.push_back(error.text().what);
    }
}

void print_model(const hub::ModelConfig& config, const models::Description& d) {
    fmt::print("family            {} ({})\n", d.family,
               config.names_architecture() ? config.architecture() : config.text("model_type"));
    fmt::print(
        "parameters        {:.3f} million (embedding {:.3f}, blocks {:.3f}, head {})\n",
        millions(d.parameters()), millions(d.embedding_parameters), millions(d.block_parameters),
        d.tied_head ? "tied to the embedding" : fmt::format("{:.3f}, not tied", millions(d.head_parameters)));
    if (d.query_heads > 0) {
        fmt::print("layers            {} of width {}, {} query and {} key/value heads of {}, MLP {}\n",
                   d.layers, d.width, d.query_heads, d.key_value_heads, d.head_width, d.mlp_width);
    } else {
        fmt::print("layers            {} of width {}, {} channels, {} states each\n", d.layers, d.width,
                   d.mlp_width, d.scan_states / d.mlp_width);
    }
    if (d.idle_parameters > 0)
        fmt::print("experts           a token passes {:.3f} M parameters of the layers\n",
                   millions(d.block_parameters - d.idle_parameters));
    fmt::print("memory width      {}\n", d.memory_width);
    fmt::print("context           {}\n",
               d.context_tokens > 0 ? fmt::format("{} tokens", d.context_tokens) : "no limit");
    fmt::print("vocabulary        {}\n", d.vocabulary_size);
    if (!d.ignored_config_keys.empty()) {
        fmt::print("ignored keys      {}: of no meaning to transformers either\n",
                   fmt::join(d.ignored_config_keys, ", "));
    }
}

/// Types of numbers among the weights, that of most bytes first; buffers of other types are passed over.
std::string dtypes_text(const hub::WeightFiles& files) {
    std::map<hub::Dtype, std::size_t> bytes;
    for (const auto& [name, tensor] : files.tensors()) {
        if (tensor.dtype != hub::Dtype::other) bytes[tensor.dtype] += tensor.data.size();
    }
    std::vector<hub::Dtype> dtypes;
    for (const auto& entry : bytes) dtypes.push_back(entry.first);
    std::ranges::sort(dtypes, std::greater{}, [&bytes](hub::Dtype dtype) { return bytes[dtype]; });
    std::string text;
    for (const hub::Dtype dtype : dtypes)
        text += (text.empty() ? " of " : ", some of ") + std::string(to_string(dtype));
    return text;
}

void print_weights(const hub::WeightFiles& files) {
    fmt::print("weights           {} tensors{} in {} file{}\n", files.tensors().size(), dtypes_text(files),
               files.files().size(), files.files().size() == 1 ? "" : "s");
    fmt::print("to load           {}\n", bytes_text(files.size_bytes()));
}

/// Tensors that change nothing, here and in transformers.
void print_unread(const hub::ModelConfig& config, std::shared_ptr<const hub::WeightFiles> files) {
    const std::string unread = models::unread_text(models::unread_weights(config, std::move(files)));
    if (!unread.empty())
        fmt::print("unread weights    {}: no layer reads them, nor do those of transformers\n", unread);
}

/// What is missing, what makes it of pickled weights, and how much it would be by config.json.
void print_missing_weights(const fs::path& folder, const hub::ModelConfig& config,
                           const models::Description& d) {
    try {
        hub::WeightFiles::open(folder);
    } catch (const DataError& error) {
        const ErrorText& text = error.text();
        const bool pickled = !text.why.empty();
        fmt::print("weights           missing: {}\n",
                   pickled
                       ? to_string({.what = text.what, .where = {}, .why = text.why, .advice = text.advice})
                       : "model.safetensors, in one file or in shards");
    }
    // Written as `dtype` since transformers 5.
    const std::string dtype = config.text("dtype", config.text("torch_dtype", "float32"));
    const std::int64_t width = dtype == "bfloat16" || dtype == "float16" ? 2 : 4;
    fmt::print("to load           about {} of {}\n", bytes_text(d.parameters() * width), dtype);
}

plan::Trial example_trial(const models::Description& d) {
    constexpr std::int32_t kTokens = 128;
    plan::Trial trial;
    const std::int32_t tokens = d.context_tokens > 0 ? std::min(kTokens, d.context_tokens) : kTokens;
    trial.text.resize(static_cast<std::size_t>(tokens));
    return trial;
}

/// The weights' bytes as they are used: a CPU may have no products of a 16-bit type.
std::string memory_text(const plan::ModelFacts& facts) {
    const plan::ValueWidths here = value_widths(device_of_rank(DeviceKind::automatic, 0));
    std::vector<std::string_view> wide;
    for (const Precision precision : {Precision::bfloat16, Precision::float16}) {
        if (here.bytes(precision) == here.bytes(Precision::float32)) wide.push_back(to_string(precision));
    }
    return fmt::format("at most {} in float32{}, {} in bfloat16 or float16",
                       bytes_text(plan::weight_bytes(facts, here.bytes(Precision::float32))),
                       wide.empty() ? "" : fmt::format(" (on this CPU also in {})", fmt::join(wide, " and ")),
                       bytes_text(plan::weight_bytes(facts, plan::ValueWidths{}.bfloat16_bytes)));
}

/// As memcap plan counts it, for one example.
void print_costs(const models::Description& d) {
    const plan::ModelFacts facts = facts_of(d);
    const plan::Trial trial = example_trial(d);
    fmt::print("in memory         {}\n", memory_text(facts));
    fmt::print("example trial     K = {}, N = {}: {} positions, protocol paper\n", trial.memory_vectors,
               trial.text.size(), trial.positions());
    fmt::print("  a step          {}\n", scaled(plan::flops_per_step(facts, plan::shape_of(trial)), "FLOP"));
    fmt::print("  the trial       at most {}: {} steps, fewer once it is solved or out of patience\n",
               scaled(plan::max_flops(facts, plan::shape_of(trial)), "FLOP"), trial.protocol.max_steps);
    fmt::print("  its slot        at most {}\n", bytes_text(plan::slot_bytes(facts, plan::shape_of(trial))));
}

/// The weights by their headers; false if they are missing or damaged.
bool print_weights_of(const fs::path& folder, const hub::ModelConfig& config, const models::Description& d,
                      Obstacles& obstacles) {
    if (hub::weight_files(folder).empty()) {
        print_missing_weights(folder, config, d);
        obstacles.emplace_back("the weights are missing");
        return false;
    }
    try {
        const auto files = std::make_shared<const hub::WeightFiles>(hub::WeightFiles::open(folder));
        print_weights(*files);
        print_unread(config, files);
        return true;
    } catch (const Error& error) {
        meet(error, obstacles);
        return false;
    }
}

void describe_folder(const fs::path& folder, Obstacles& obstacles) {
    const auto config = hub::ModelConfig::load(folder);
    const models::Description description = models::describe(config);
    print_model(config, description);
    print_tokenizer(folder, description.vocabulary_size, obstacles);
    const bool has_weights = print_weights_of(folder, config, description, obstacles);
    print_costs(description);
    if (!has_weights) return;
    // Every tensor is read for it: the rest is on the screen by then.
    std::fflush(stdout);
    models::load(folder, Precision::float32, at::kMeta);
    fmt::print("checked           all tensors are there, of the right shape and finite\n");
}

}  // namespace

int describe_model(const Arguments& arguments) {
    const CommandSyntax syntax{.usage = "memcap describe MODEL_DIR",
                               .purpose =
                                   "Says what a model is, what loading it and a trial on it would take, and "
                                   "what is missing. A folder with config.json alone\nwill do. The last line "
                                   "says whether a run can load the folder; if not, the exit status is 2.",
                               .options = boost::program_options::options_description(),
                               .fewest_files = 1,
                               .most_files = 1};
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    Obstacles obstacles;
    try {
        describe_folder(parsed->files.front(), obstacles);
    } catch (const Error& error) {
        meet(error, obstacles);
    }
    if (obstacles.empty()) {
        fmt::print("verdict           can be loaded\n");
        return kDone;
    }
    fmt::print("verdict           cannot be loaded: {}\n", fmt::join(obstacles, "; "));
    return kUsage;
}

}  // namespace memcap::app
