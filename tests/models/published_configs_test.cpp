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

}  // namespace
}  // namespace memcap::models
