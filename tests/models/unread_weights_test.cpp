// Tensors of a model folder that no layer reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/models/registry.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::models {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

fs::path golden() {
    return fs::path(MEMCAP_TEST_SOURCE_DIR) / "tests" / "golden";
}

std::vector<std::string> unread_in(const fs::path& folder) {
    return unread_weights(hub::ModelConfig::load(folder),
                          std::make_shared<const hub::WeightFiles>(hub::WeightFiles::open(folder)));
}

/// What is unread in a copy of a model with more tensors, of one element each, and other keys in config.json.
std::vector<std::string> unread_with(const fs::path& model, const std::vector<std::string>& more,
                                     const json& patch = json::object()) {
    const test::TemporaryFolder folder;
    json config = json::parse(read_text_file(model / "config.json"));
    config.merge_patch(patch);
    std::ofstream(folder / "config.json") << config.dump();
    json header = json::object();
    std::string data;
    const auto add = [&](const std::string& name, const std::string& type,
                         const std::vector<std::int64_t>& shape, std::string_view bytes) {
        header[name] = {
            {"dtype", type}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes.size()}}};
        data.append(bytes);
    };
    const auto files = hub::WeightFiles::open(model);
    for (const auto& [name, tensor] : files.tensors()) {
        add(name, tensor.type, tensor.shape,
            {reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()});
    }
    for (const auto& name : more) add(name, "F32", {1}, std::string(4, '\0'));
    const std::string text = header.dump();
    const std::uint64_t size = text.size();
    std::ofstream file(folder / "model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), sizeof(size));
    file << text << data;
    file.close();
    return unread_in(folder.path());
}

TEST(UnreadWeights, AreNoneInFoldersAsTransformersWritesThem) {
    int folders = 0;
    for (const char* group : {"", "written"}) {
        for (const auto& entry : fs::directory_iterator(golden() / group)) {
            const fs::path folder = *group == '\0' ? entry.path() / "model" : entry.path();
            if (!fs::exists(folder / "config.json")) continue;
            EXPECT_THAT(unread_in(folder), IsEmpty()) << folder;
            ++folders;
        }
    }
    EXPECT_GE(folders, 36 + 23);
}

TEST(UnreadWeights, AreThoseOfLayersBeyondTheCount) {
    const fs::path model = golden() / "llama-plain" / "model";
    const auto layers = describe(model).layers;
    const auto unread = unread_with(model, {}, {{"num_hidden_layers", layers - 1}});
    EXPECT_EQ(unread.size(), 9U) << "two norms, four matrices of attention, three of the MLP";
    for (const auto& name : unread)
        EXPECT_THAT(name, ::testing::StartsWith("model.layers." + std::to_string(layers - 1) + "."));
}

TEST(UnreadWeights, AreBiasesThatAreOffScalesAndAdapters) {
    const fs::path model = golden() / "llama-plain" / "model";
    EXPECT_THAT(
        unread_with(model,
                    {"model.layers.0.self_attn.q_proj.weight_scale", "model.layers.0.self_attn.q_proj.bias",
                     "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"}),
        ElementsAre("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                    "model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.q_proj.weight_scale"));
}

TEST(UnreadWeights, AreNoBuffersThatVersionsOfTransformersSaved) {
    EXPECT_THAT(unread_with(golden() / "llama-plain" / "model",
                            {"model.layers.9.self_attn.rotary_emb.inv_freq", "model.position_ids"}),
                IsEmpty());
    EXPECT_THAT(unread_with(golden() / "gpt-neox-parallel" / "model",
                            {"gpt_neox.layers.9.attention.bias", "gpt_neox.layers.9.attention.masked_bias",
                             "gpt_neox.layers.9.attention.rotary_emb.inv_freq"}),
                IsEmpty());
    EXPECT_THAT(unread_with(golden() / "gpt2" / "model",
                            {"transformer.h.9.attn.bias", "transformer.h.9.attn.masked_bias"}),
                IsEmpty());
    EXPECT_THAT(unread_with(golden() / "opt-pre-norm" / "model", {"model.decoder.version"}), IsEmpty());
    EXPECT_THAT(unread_with(golden() / "llama-plain" / "model",
                            {"model.layers.9.attention.bias", "model.layers.9.attn.masked_bias"}),
                ElementsAre("model.layers.9.attention.bias", "model.layers.9.attn.masked_bias"))
        << "in another family these mean something else";
    EXPECT_THAT(unread_with(golden() / "gpt2" / "model", {"transformer.h.9.attn.c_attn.bias"}),
                ElementsAre("transformer.h.9.attn.c_attn.bias"));
}

TEST(UnreadWeights, AreNotThoseOfImagesBesideAModelOfImages) {
    const std::vector<std::string> of_images{"vision_tower.vision_model.post_layernorm.weight",
                                             "model.multi_modal_projector.mm_input_projection_weight"};
    EXPECT_THAT(unread_with(golden() / "gemma3-images" / "model", of_images), IsEmpty());
    EXPECT_EQ(unread_with(golden() / "gemma3" / "model", of_images).size(), 2U);
}

TEST(UnreadWeights, ATiedHeadIsRead) {
    const fs::path model = golden() / "llama-grouped-tied" / "model";
    const auto unread = [&] { return unread_with(model, {"lm_head.weight"}); };
    EXPECT_THROW(unread(), DataError) << "it is read, so it has to have the shape of a head";
}

TEST(UnreadWeights, MissingTensorsAreErrorsAsWhenTheModelIsLoaded) {
    const fs::path model = golden() / "llama-plain" / "model";
    try {
        unread_with(model, {}, {{"num_hidden_layers", describe(model).layers + 1}});
        FAIL() << "no error";
    } catch (const DataError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("is missing"));
    }
}

TEST(UnreadWeights, AreCountedAndTheFirstNamed) {
    EXPECT_EQ(unread_text({}), "");
    EXPECT_EQ(unread_text({"a"}), "1: a");
    EXPECT_EQ(unread_text({"a", "b", "c"}), "3: a, b, c");
    EXPECT_EQ(unread_text({"a", "b", "c", "d", "e"}), "5: a, b, c and 2 more");
}

}  // namespace
}  // namespace memcap::models
