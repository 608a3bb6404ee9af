// config.json files as publishers and versions of transformers wrote them: which load, which keys mean
// nothing, and which are refused since transformers would compute by them.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/models/registry.hpp"

namespace memcap::models {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json published() {
    return json::parse(
        read_text_file(fs::path(MEMCAP_TEST_SOURCE_DIR) / "tests/models/published_configs.json"));
}

hub::ModelConfig parsed(const json& config) {
    return hub::ModelConfig::parse("model/config.json", config.dump());
}

std::string refusal(const json& config) {
    try {
        describe(parsed(config));
    } catch (const DataError& error) {
        return error.what();
    }
    return "no error";
}

TEST(PublishedConfigs, LoadAndNameWhatMeansNothing) {
    for (const json& file : published()) {
        if (!file["refused"].empty()) continue;
        SCOPED_TRACE(file["name"].get<std::string>());
        try {
            EXPECT_EQ(describe(parsed(file["config"])).ignored_config_keys,
                      file["ignored"].get<std::vector<std::string>>());
        } catch (const DataError& error) {
            ADD_FAILURE() << error.what();
        }
    }
}

TEST(PublishedConfigs, AreRefusedByEachKeyThatChangesNumbersAndByNoOther) {
    for (const json& file : published()) {
        if (file["refused"].empty()) continue;
        SCOPED_TRACE(file["name"].get<std::string>());
        const std::string message = refusal(file["config"]);
        for (const auto& name : file["refused"])
            EXPECT_NE(message.find("'" + name.get<std::string>() + "'"), std::string::npos) << message;
        const std::size_t count = file["refused"].size();
        const std::string opening = count == 1 ? "model/config.json: key '"
                                               : "model/config.json: " + std::to_string(count) + " keys ";
        EXPECT_EQ(message.rfind(opening, 0), 0u) << message;
    }
}

TEST(PublishedConfigs, LoadOnceTheRefusedKeysAreGone) {
    for (const json& file : published()) {
        json config = file["config"];
        for (const auto& name : file["refused"]) {
            const std::string key = name;
            config.erase(key.substr(0, key.find('.')));
        }
        EXPECT_EQ(refusal(config), "no error") << file["name"];
    }
}

/// Olmo-3 with this object as rope_parameters.
json olmo3_with(const json& rope_parameters) {
    json config = json::parse(
        read_text_file(fs::path(MEMCAP_TEST_SOURCE_DIR) / "tests/golden/olmo3/model/config.json"));
    config.erase("rope_scaling");
    config.erase("rope_theta");
    config["rope_parameters"] = rope_parameters;
    return config;
}

// As transformers 5.0.0 saves Olmo-3. It rotates every layer by it, and 5.23 none.
TEST(Olmo3Configs, WithOneRotationForAllLayersLoadIfEachVersionReadsThemAlike) {
    EXPECT_EQ(refusal(olmo3_with({{"rope_type", "default"}, {"rope_theta", 500000}})), "no error");
    EXPECT_EQ(refusal(olmo3_with({{"rope_theta", 5e5}})), "no error");
    const json plain{{"rope_type", "default"}, {"rope_theta", 5e5}};
    EXPECT_EQ(refusal(olmo3_with({{"rope_type", "default"},
                                  {"rope_theta", 5e5},
                                  {"full_attention", plain},
                                  {"sliding_attention", plain}})),
              "no error")
        << "as 5.23 saves what it has read from such a file";
}

TEST(Olmo3Configs, WithOneScalingForAllLayersAreRefusedWithAWayOutThatWorks) {
    const json yarn{{"rope_type", "yarn"},
                    {"rope_theta", 500000},
                    {"factor", 4.0},
                    {"original_max_position_embeddings", 16}};
    for (const json& flat :
         {yarn, json{{"rope_type", "default"}, {"rope_theta", 10000}}, json{{"factor", 2.0}}}) {
        const std::string message = refusal(olmo3_with(flat));
        EXPECT_EQ(message.rfind("model/config.json: key 'rope_parameters' is not usable (it has one rotation "
                                "for all layers",
                                0),
                  0U)
            << message;
        EXPECT_NE(message.find("write {\"full_attention\": X, \"sliding_attention\": X} in its place"),
                  std::string::npos)
            << message;
    }
    EXPECT_EQ(refusal(olmo3_with({{"full_attention", yarn}, {"sliding_attention", yarn}})), "no error");
}

}  // namespace
}  // namespace memcap::models
