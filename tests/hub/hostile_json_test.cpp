// JSON made to hurt its reader: nested without end, very long, or full of what fits no type of ours.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hub/detail/json_text.hpp"
#include "hub/model_folder.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"

namespace memcap::hub {
namespace {

using testing::data_error;
using testing::ModelFolder;
using testing::safetensors;

constexpr std::string_view kConfig = "config.json";
constexpr std::string_view kWeights = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

std::string error_of_config(const ModelFolder& folder) {
    return data_error(folder, [&] { ModelConfig::load(folder.path()); });
}

std::string error_of_weights(const ModelFolder& folder) {
    return data_error(folder, [&] { WeightFiles::open(folder.path()); });
}

/// An object whose one value is this many arrays in each other.
std::string nested(std::size_t arrays) {
    return "{\"weight_map\":" + std::string(arrays, '[') + std::string(arrays, ']') + "}";
}

std::string too_deep(std::string_view file) {
    return "/" + std::string(file) +
           ": its JSON is not usable (its values stand in each other more than 64 levels deep). "
           "Get the file again from where the model was published";
}

TEST(HostileJson, NestedDeeperThanTheStackIsRefused) {
    // A megabyte of brackets: printed or copied by recursion, it takes more stack than there is.
    for (const std::size_t arrays : {std::size_t{64}, std::size_t{1'000'000}}) {
        const ModelFolder folder;
        folder.write(kConfig, nested(arrays));
        EXPECT_EQ(error_of_config(folder), too_deep(kConfig));
        folder.write(kWeights, safetensors(nested(arrays), ""));
        EXPECT_EQ(error_of_weights(folder), too_deep(kWeights));
        std::filesystem::remove(folder.file(kWeights));
        folder.write(kIndex, nested(arrays));
        EXPECT_EQ(error_of_weights(folder), too_deep(kIndex));
    }
}

TEST(HostileJson, NestedWithoutAnEndIsRefusedBeforeItIsFoundToHaveNone) {
    const ModelFolder folder;
    folder.write(kConfig, "{\"a\":" + std::string(1'000'000, '['));
    EXPECT_EQ(error_of_config(folder), too_deep(kConfig));
}

TEST(HostileJson, NestedAsDeepAsAllowedIsReadAndShown) {
    const ModelFolder folder;
    folder.write(kConfig, nested(63));
    const ModelConfig config = ModelConfig::load(folder.path());
    EXPECT_EQ(data_error(folder, [&] { config.integer("weight_map"); }),
              "/config.json: key 'weight_map' is not usable (" + std::string(63, '[') + std::string(63, ']') +
                  " is not an integer). Use the config.json that belongs to the weights");
}

TEST(HostileJson, AHeaderOfManyTensorsIsReadInSeconds) {
    constexpr int kTensors = 40'000;
    std::string header = "{";
    for (int i = 0; i < kTensors; ++i) {
        header += (i == 0 ? "\"" : ",\"") + std::to_string(i) +
                  R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    }
    const ModelFolder folder;
    folder.write(kWeights, safetensors(header + "}", ""));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(WeightFiles::open(folder.path()).tensors().size(), kTensors);
    // Well under a second where the time is linear; many minutes where each tensor looks at all before it.
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(HostileJson, LongerThanAnyFileOfAModelIsRefusedUnread) {
    for (const std::string_view name : {kConfig, kIndex}) {
        const ModelFolder folder;
        folder.write(name, "{}");
        std::filesystem::resize_file(folder.file(name), 100'000'001);  // a hole: takes no room on the disk
        EXPECT_EQ(name == kConfig ? error_of_config(folder) : error_of_weights(folder),
                  "/" + std::string(name) +
                      ": no such file of a model is this large (it has 100000001 bytes, the limit is "
                      "100000000). Get the file again from where the model was published");
    }
}

TEST(HostileJson, LongValuesAreCutInMessagesBetweenTwoCharacters) {
    EXPECT_EQ(detail::shown(std::string(198, 'x')), '"' + std::string(198, 'x') + '"');
    EXPECT_EQ(detail::shown(std::string(199, 'x')), '"' + std::string(199, 'x') + "...");
    std::string accents;
    for (int i = 0; i < 150; ++i)
        accents += "\u00e9";  // two bytes each, from byte 1 on: byte 200 is inside of one
    EXPECT_EQ(detail::shown(accents), '"' + accents.substr(0, 198) + "...");
}

TEST(HostileJson, AnEmptyNameTwiceInAHeaderIsRefused) {
    const ModelFolder folder;
    folder.write(kWeights, safetensors(R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                       R"("":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                       "12"));
    EXPECT_EQ(error_of_weights(folder),
              "/model.safetensors: tensor '' is in the header twice. "
              "Copy or download the file again and compare its SHA-256");
}

TEST(HostileJson, AShardNameWithAZeroByteIsRefused) {
    const ModelFolder folder;
    folder.write("a", safetensors("{}", ""));
    folder.write(kIndex, R"({"weight_map":{"w":"a\u0000.safetensors"}})");
    EXPECT_EQ(error_of_weights(folder),
              "/model.safetensors.index.json: tensor 'w' has no plain file name. "
              "Copy or download the file again and compare its SHA-256");
}

TEST(HostileJson, NumbersInListsDoNotWrap) {
    const ModelFolder folder;
    folder.write(kConfig,
                 R"({"whole":[-9223372036854775808,9223372036854775807],"wraps":[9223372036854775808]})");
    const ModelConfig config = ModelConfig::load(folder.path());
    EXPECT_EQ(config.integers("whole"), (std::vector<std::int64_t>{INT64_MIN, INT64_MAX}));
    EXPECT_EQ(data_error(folder, [&] { config.integers("wraps"); }),
              "/config.json: key 'wraps' is not usable (9223372036854775808 is too large). "
              "Use the config.json that belongs to the weights");
}

}  // namespace
}  // namespace memcap::hub
