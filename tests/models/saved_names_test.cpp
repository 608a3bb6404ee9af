// Names of tensors and architectures as transformers writes them for a model with a head and for one without.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/models/registry.hpp"
#include "models/published_names.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::models {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// A tensor's name in a copy; empty: it is left out.
using Rename = std::function<std::string(const std::string&)>;

bool is_head(const std::string& name) {
    return name.ends_with("lm_head.weight") || name.ends_with("embed_out.weight");
}

std::string same(const std::string& name) {
    return name;
}

/// A copy of a model folder with other names of tensors and other keys in config.json.
class Copy {
  public:
    Copy(const fs::path& model, const Rename& rename, const json& patch) {
        json config = json::parse(read_text_file(model / "config.json"));
        config.merge_patch(patch);
        std::ofstream(folder_ / "config.json") << config.dump();
        const auto files = hub::WeightFiles::open(model);
        json header = json::object();
        std::string data;
        for (const auto& [name, tensor] : files.tensors()) {
            const std::string renamed = rename(name);
            if (renamed.empty()) continue;
            header[renamed] = {{"dtype", tensor.type},
                               {"shape", tensor.shape},
                               {"data_offsets", {data.size(), data.size() + tensor.data.size()}}};
            data.append(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
        }
        std::string text = header.dump();
        text.resize((text.size() + 7) / 8 * 8, ' ');
        const std::uint64_t size = text.size();
        std::ofstream file(folder_ / "model.safetensors", std::ios::binary);
        file.write(reinterpret_cast<const char*>(&size), sizeof(size));
        file << text << data;
    }
    std::unique_ptr<CausalLM> load() const {
        return models::load(folder_.path(), Precision::float32, at::kCPU);
    }
    std::string problem() const {
        try {
            load();
        } catch (const DataError& error) {
            return error.what();
        }
        return "no error";
    }

  private:
    test::TemporaryFolder folder_;
};

/// Logits of a fixed input.
at::Tensor logits_of(const CausalLM& model) {
    const at::NoGradGuard no_gradients;
    constexpr std::int64_t kPositions = 8;
    const at::Tensor input =
        at::linspace(-1.0, 1.0, kPositions * model.description().memory_width).view({kPositions, -1});
    return model.head().logits(model.hidden(input, nn::Segments({kPositions}, at::kCPU)));
}

struct Case {
    fs::path folder;
    json config;
    std::string prefix;

    bool is_tied() const { return describe(folder).tied_head; }
};

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (const auto& entry : fs::directory_iterator(fs::path(MEMCAP_TEST_SOURCE_DIR) / "tests" / "golden")) {
        const fs::path folder = entry.path() / "model";
        if (!fs::exists(folder / "config.json")) continue;
        const json config = json::parse(read_text_file(folder / "config.json"));
        cases.push_back({folder, config, base_prefix_of(config["architectures"][0].get<std::string>())});
    }
    EXPECT_GE(cases.size(), 36U);
    return cases;
}

TEST(SavedNames, LoadWithAndWithoutThePrefixOfTheBody) {
    int with_prefix = 0;
    for (const auto& [folder, config, prefix] : all_cases()) {
        SCOPED_TRACE(folder);
        const at::Tensor expected = logits_of(*load(folder, Precision::float32, at::kCPU));
        const auto files = hub::WeightFiles::open(folder);
        const bool has_prefix = std::ranges::any_of(files.tensors(), [&prefix = prefix](const auto& entry) {
            return entry.first.starts_with(prefix);
        });
        with_prefix += has_prefix ? 1 : 0;
        const Rename other = [&](const std::string& name) {
            if (is_head(name)) return name;
            if (!has_prefix) return prefix + name;
            return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
        };
        EXPECT_TRUE(at::equal(logits_of(*Copy(folder, other, json::object()).load()), expected));
    }
    EXPECT_GE(with_prefix, 30) << "the cases have the names of models with a head, as most published ones";
}

TEST(SavedNames, AModelWithoutItsHeadIsOneWhereTheEmbeddingIsTheHead) {
    int tied = 0;
    int untied = 0;
    for (const Case& each : all_cases()) {
        SCOPED_TRACE(each.folder);
        const Copy copy(
            each.folder, [](const std::string& name) { return is_head(name) ? "" : name; }, json::object());
        if (each.is_tied()) {
            EXPECT_TRUE(at::equal(logits_of(*copy.load()),
                                  logits_of(*load(each.folder, Precision::float32, at::kCPU))));
        } else {
            EXPECT_NE(copy.problem().find("the model has no head: tensor '"), std::string::npos)
                << copy.problem();
        }
        ++(each.is_tied() ? tied : untied);
    }
    EXPECT_GT(tied, 5);
    EXPECT_GT(untied, 5);
}

TEST(SavedNames, TheTypeOfTheModelTellsItsArchitectureWhereNoneIsNamed) {
    for (const auto& [folder, config, prefix] : all_cases()) {
        SCOPED_TRACE(folder);
        if (!config.contains("model_type")) continue;
        const auto expected = architecture_of_model_type(config["model_type"].get<std::string>());
        // A few cases have a type that transformers' table gives to another architecture.
        if (expected != config["architectures"][0].get<std::string>()) continue;
        const std::string family = describe(folder).family;
        for (const json& names : {json(), json::array(), json({"SomethingModel"})}) {
            const Copy copy(folder, same, {{"architectures", names}});
            EXPECT_EQ(copy.load()->description().family, family) << names;
        }
        const Copy other(folder, same, {{"architectures", {"SomethingForSequenceClassification"}}});
        EXPECT_NE(other.problem().find("architecture 'SomethingForSequenceClassification' is not supported"),
                  std::string::npos)
            << other.problem();
    }
}

TEST(SavedNames, AnUnknownTypeWithoutAnArchitectureIsRefused) {
    const Case any = all_cases().front();
    const Copy copy(any.folder, same, {{"architectures", nullptr}, {"model_type", "orchid"}});
    EXPECT_NE(copy.problem().find("architectures"), std::string::npos) << copy.problem();
}

TEST(SavedNames, TheLayoutOfMambaSsmIsNamedWithTheRepositoryThatIsWanted) {
    const auto config = hub::ModelConfig::parse(
        "config.json",
        R"({"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": true,
                           "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 8})");
    try {
        describe(config);
        FAIL() << "no error";
    } catch (const DataError& error) {
        EXPECT_NE(std::string(error.what()).find("mamba_ssm"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("-hf"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace memcap::models
