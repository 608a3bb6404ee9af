// Named shapes and models with random weights.
#include "memcap/models/shapes.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "memcap/base/files.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/models/registry.hpp"

namespace memcap::models {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kSource = MEMCAP_TEST_SOURCE_DIR;

/// Expects the same keys with the same values, but for the type that the weights are stored in.
void expect_equal(const hub::ModelConfig& shape, json paper) {
    paper.erase("torch_dtype");
    EXPECT_EQ(shape.keys().size(), paper.size());
    for (const auto& [key, value] : paper.items()) {
        SCOPED_TRACE(key);
        if (value.is_object()) {
            expect_equal(shape.object(key).value(), value);
        } else if (value.is_array()) {
            EXPECT_EQ(shape.texts(key), value.get<std::vector<std::string>>());
        } else if (value.is_string()) {
            EXPECT_EQ(shape.text(key), value.get<std::string>());
        } else if (value.is_boolean()) {
            EXPECT_EQ(shape.boolean(key), value.get<bool>());
        } else {
            EXPECT_EQ(shape.number(key), value.get<double>());
        }
    }
}

TEST(Shapes, AreTheModelsOfThePaper) {
    const std::map<std::string, std::string> folders{{"pythia-160m", "pythia-160m"},
                                                     {"pythia-1.4b", "pythia-1.4b"},
                                                     {"llama-3.2-1b", "Llama-3.2-1B"},
                                                     {"llama-3.1-8b", "Meta-Llama-3.1-8B"},
                                                     {"mamba-130m", "mamba-130m-hf"}};
    ASSERT_EQ(shape_names().size(), folders.size());
    for (const auto& [name, folder] : folders) {
        const auto shape = shape_config(name);
        ASSERT_TRUE(shape) << name;
        SCOPED_TRACE(name);
        const fs::path file = kSource / "experiments" / "paper" / "models" / folder / "config.json";
        expect_equal(*shape, json::parse(read_text_file(file)));
    }
    EXPECT_FALSE(shape_config("pythia"));
}

TEST(Shapes, HaveTheirPublishedNumbersOfParameters) {
    // Of the models on Hugging Face; the head of Llama-3.2-1B is its embedding.
    EXPECT_EQ(describe(shape_config("pythia-160m").value()).parameters(), 162'322'944);
    EXPECT_EQ(describe(shape_config("pythia-1.4b").value()).parameters(), 1'414'647'808);
    EXPECT_EQ(describe(shape_config("llama-3.2-1b").value()).parameters(), 1'235'814'400);
    EXPECT_EQ(describe(shape_config("llama-3.1-8b").value()).parameters(), 8'030'261'248);
    EXPECT_EQ(describe(shape_config("mamba-130m").value()).parameters(), 129'135'360);
}

TEST(Description, CountsTheParametersThatItsFilesHold) {
    for (const char* name : {"granite-hybrid", "granite-hybrid-rope", "llama-plain", "mamba2-groups", "olmo2",
                             "olmo3", "phi3-longrope", "qwen3", "qwen3-moe", "qwen3-moe-mixed"}) {
        const fs::path folder = kSource / "tests" / "golden" / name / "model";
        const auto files = hub::WeightFiles::open(folder);
        std::int64_t held = 0;
        for (const auto& [tensor, view] : files.tensors())
            held += std::accumulate(view.shape.begin(), view.shape.end(), std::int64_t{1}, std::multiplies{});
        EXPECT_EQ(describe(folder).parameters(), held) << name;
    }
}

TEST(Description, SaysWhichOfTheExpertsParametersATokenDoesNotTake) {
    const auto idle = [](const char* name) {
        return describe(kSource / "tests" / "golden" / name / "model").idle_parameters;
    };
    // Layers, experts not taken, three matrices of 24 x 10.
    EXPECT_EQ(idle("qwen3-moe"), 2 * 3 * 3 * 24 * 10);
    EXPECT_EQ(idle("qwen3-moe-mixed"), 1 * 2 * 3 * 24 * 10);
    EXPECT_EQ(idle("qwen3"), 0);
}

// Every checkpoint of the golden tests stands for a family or a variant of one.
TEST(RandomModels, ComputeInEveryFamily) {
    int models = 0;
    for (const auto& entry : fs::directory_iterator(kSource / "tests" / "golden")) {
        const fs::path folder = entry.path() / "model";
        if (!fs::exists(folder / "config.json")) continue;
        SCOPED_TRACE(folder.string());
        const auto config = hub::ModelConfig::load(folder);
        const auto model = make_random(config, Precision::float32, at::kCPU);
        const at::Tensor hidden_RD =
            model->hidden(model->embed(at::arange(10)), nn::Segments({3, 7}, at::kCPU));
        EXPECT_TRUE(hidden_RD.isfinite().all().item<bool>());
        EXPECT_GT(hidden_RD.abs().max().item<double>(), 0.0);
        EXPECT_EQ(model->description().parameters(), describe(folder).parameters());
        EXPECT_EQ(model->head().logits(hidden_RD).size(1), model->description().vocabulary_size);
        ++models;
    }
    EXPECT_GE(models, 25);
}

TEST(RandomModels, AreTheSameEachTime) {
    const auto config = hub::ModelConfig::load(kSource / "experiments" / "models" / "ink-64");
    const auto hidden = [&] {
        const auto model = make_random(config, Precision::float32, at::kCPU);
        return model->hidden(model->embed(at::arange(6)), nn::Segments({6}, at::kCPU));
    };
    EXPECT_TRUE(at::equal(hidden(), hidden()));
}

}  // namespace
}  // namespace memcap::models
