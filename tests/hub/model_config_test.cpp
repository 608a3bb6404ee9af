// config.json: typed values, what counts as absent, and errors that name the file and the key.
#include "memcap/hub/model_config.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hub/model_folder.hpp"

namespace memcap::hub {
namespace {

using testing::data_error;
using testing::ModelFolder;

constexpr std::string_view kAdvice = ". Use the config.json that belongs to the weights";
constexpr std::string_view kUnsupported =
    ". If this is the config.json of the weights, memcap cannot compute the model";

/// A folder with a config.json, read.
struct Read {
    explicit Read(std::string_view json) {
        folder.write("config.json", json);
        config.emplace(ModelConfig::load(folder.path()));
    }
    const ModelConfig* operator->() const { return &*config; }

    ModelFolder folder;
    std::optional<ModelConfig> config;
};

template <class Call>
std::string error_of(const Read& read, Call call) {
    return data_error(read.folder, [&] { call(*read.config); });
}

std::string unusable(const std::string& key, const std::string& why, std::string_view advice = kAdvice) {
    return "/config.json: key '" + key + "' is not usable (" + why + ")" + std::string(advice);
}

TEST(ModelConfig, GivesTypedValues) {
    const Read config(
        R"({"size":64,"eps":1e-5,"whole":3,"tied":true,"name":"llama","long":-9223372036854775808})");
    EXPECT_EQ(config->size("size"), 64);
    EXPECT_EQ(config->integer("long"), INT64_MIN);
    EXPECT_EQ(config->number("eps"), 1e-5);
    EXPECT_EQ(config->number("whole"), 3.0);
    EXPECT_TRUE(config->boolean("tied"));
    EXPECT_EQ(config->text("name"), "llama");
    EXPECT_EQ(config->file(), config.folder.file("config.json"));
}

TEST(ModelConfig, NullCountsAsAbsent) {
    const Read config(R"({"a":null,"b":1,"c":null})");
    EXPECT_FALSE(config->has("a"));
    EXPECT_TRUE(config->has("b"));
    EXPECT_EQ(config->keys(), std::vector<std::string>{"b"});
    EXPECT_EQ(config->integer("a", 7), 7);
    EXPECT_EQ(config->number("a", 0.5), 0.5);
    EXPECT_TRUE(config->boolean("a", true));
    EXPECT_EQ(config->text("a", "x"), "x");
    EXPECT_EQ(config->size("a", 9), 9);
    EXPECT_FALSE(config->object("a"));
    EXPECT_EQ(error_of(config, [](auto& c) { c.integer("a"); }), unusable("a", "it is missing"));
    EXPECT_NO_THROW(config->allow_only({"b"}));
}

TEST(ModelConfig, AKeyThatIsThereGoesBeforeTheOtherwiseAndMustFit) {
    const Read config(R"({"n":3,"s":"x"})");
    EXPECT_EQ(config->integer("n", 7), 3);
    EXPECT_EQ(error_of(config, [](auto& c) { c.integer("s", 7); }), unusable("s", "\"x\" is not an integer"));
    EXPECT_EQ(error_of(config, [](auto& c) { c.size("s", 7); }), unusable("s", "\"x\" is not an integer"));
    EXPECT_EQ(error_of(config, [](auto& c) { c.text("n", "y"); }), unusable("n", "3 is not a text"));
}

TEST(ModelConfig, SaysWhichKeyIsMissing) {
    const Read config("{}");
    const std::string expected = unusable("k", "it is missing");
    EXPECT_EQ(error_of(config, [](auto& c) { c.integer("k"); }), expected);
    EXPECT_EQ(error_of(config, [](auto& c) { c.number("k"); }), expected);
    EXPECT_EQ(error_of(config, [](auto& c) { c.boolean("k"); }), expected);
    EXPECT_EQ(error_of(config, [](auto& c) { c.text("k"); }), expected);
    EXPECT_EQ(error_of(config, [](auto& c) { c.size("k"); }), expected);
}

TEST(ModelConfig, RefusesValuesOfAnotherType) {
    const Read config(R"({"real":2.0,"text":"2","list":[2],"flag":true,"object":{},"count":2})");
    for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
             {"real", "2.0"}, {"text", "\"2\""}, {"list", "[2]"}, {"flag", "true"}, {"object", "{}"}}) {
        EXPECT_EQ(error_of(config, [&](auto& c) { c.integer(key); }),
                  unusable(key, value + " is not an integer"));
    }
    EXPECT_EQ(error_of(config, [](auto& c) { c.number("text"); }), unusable("text", "\"2\" is not a number"));
    EXPECT_EQ(error_of(config, [](auto& c) { c.number("flag"); }), unusable("flag", "true is not a number"));
    EXPECT_EQ(error_of(config, [](auto& c) { c.boolean("count"); }),
              unusable("count", "2 is neither true nor false"));
    EXPECT_EQ(error_of(config, [](auto& c) { c.text("list"); }), unusable("list", "[2] is not a text"));
    EXPECT_EQ(error_of(config, [](auto& c) { c.object("list"); }), unusable("list", "[2] is not an object"));
}

TEST(ModelConfig, RefusesSizesOutOfRange) {
    const Read config(R"({"zero":0,"less":-1,"most":2147483647,"more":2147483648,"wraps":4294967297,)"
                      R"("huge":9223372036854775808,"all":18446744073709551615})");
    EXPECT_EQ(config->size("most"), INT32_MAX);
    for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
             {"zero", "0"}, {"less", "-1"}, {"more", "2147483648"}, {"wraps", "4294967297"}}) {
        EXPECT_EQ(error_of(config, [&](auto& c) { c.size(key); }), unusable(key, value + " is not a size"));
    }
    EXPECT_EQ(error_of(config, [](auto& c) { c.integer("huge"); }),
              unusable("huge", "9223372036854775808 is too large"));
    EXPECT_EQ(error_of(config, [](auto& c) { c.size("all"); }),
              unusable("all", "18446744073709551615 is too large"));
}

TEST(ModelConfig, NamesKeysOfNestedObjectsByTheirPath) {
    const Read config(R"({"unsloth_fixed":true,"rope_scaling":{"factor":"8","inner":{"depth":0}}})");
    const auto nested = config->object("rope_scaling");
    ASSERT_TRUE(nested);
    EXPECT_EQ(nested->keys(), (std::vector<std::string>{"factor", "inner"}));
    EXPECT_EQ(data_error(config.folder, [&] { nested->number("factor"); }),
              unusable("rope_scaling.factor", "\"8\" is not a number"));
    EXPECT_EQ(data_error(config.folder, [&] { nested->object("inner")->size("depth"); }),
              unusable("rope_scaling.inner.depth", "0 is not a size"));
    EXPECT_EQ(data_error(config.folder, [&] { nested->reject("factor", "only 'linear' is known"); }),
              unusable("rope_scaling.factor", "only 'linear' is known", kUnsupported));
    EXPECT_EQ(data_error(config.folder, [&] { nested->allow_only({"factor"}); }),
              unusable("rope_scaling.inner",
                       "memcap does not know it, and it may change what the model computes", kUnsupported));
    config->allow_only({"rope_scaling"}, "llama");
    nested->allow_only({"factor"}, "rope_parameters");
    EXPECT_EQ(config->ignored_keys(), (std::vector<std::string>{"rope_scaling.inner", "unsloth_fixed"}));
}

TEST(ModelConfig, AllowsWhatTransformersDoesNotReadAndNotesWhatItDoesNotKnow) {
    const Read config(R"({"hidden_size":64,"transformers_version":"5.1","use_cache":false,"bos_token_id":1,)"
                      R"("torch_dtype":"bfloat16","strange":null,"unsloth_fixed":true,"a.b":3})");
    for (int repeat = 0; repeat < 2; ++repeat) {
        EXPECT_NO_THROW(config->allow_only({"hidden_size"}, "llama"));
        EXPECT_EQ(config->ignored_keys(), (std::vector<std::string>{"a.b", "unsloth_fixed"}));
    }
}

TEST(ModelConfig, RefusesWhatTransformersReadsUnlessItIsOff) {
    const char* const kOff[]{"null", "false", "0", "0.0", "-0.0", "\"\"", "[]", "{}"};
    for (const std::string value : kOff) {
        const Read config(R"({"pruned_heads":)" + value + "}");
        EXPECT_NO_THROW(config->allow_only({}, "llama")) << value;
        EXPECT_NO_THROW(config->allow_only({})) << value;
        EXPECT_TRUE(config->ignored_keys().empty()) << value;
    }
    for (const std::string value : {"true", "1", "1e-9", "-1", "\"x\"", "[0]", "{\"0\":[]}"}) {
        const Read config(R"({"pruned_heads":)" + value + "}");
        EXPECT_EQ(error_of(config, [](auto& c) { c.allow_only({}, "llama"); }),
                  unusable("pruned_heads", "transformers computes by it, and memcap lacks it", kUnsupported))
            << value;
        EXPECT_NO_THROW(config->allow_only({"pruned_heads"}, "llama")) << value;
    }
}

TEST(ModelConfig, ACausalMaskIsOnByDefault) {
    EXPECT_NO_THROW(Read(R"({"is_causal":true})")->allow_only({}, "llama"));
    EXPECT_NE(error_of(Read(R"({"is_causal":false})"), [](auto& c) { c.allow_only({}, "llama"); })
                  .find("'is_causal'"),
              std::string::npos);
}

TEST(ModelConfig, QuantisedWeightsHaveAnAdviceOfTheirOwn) {
    const Read config(R"({"quantization_config":{"quant_method":"gptq"}})");
    EXPECT_EQ(error_of(config, [](auto& c) { c.allow_only({}, "llama"); }),
              unusable("quantization_config", "the weights are quantised, which memcap does not read",
                       ". Use the model as it was before it was quantised"));
}

/// Reads as a family does: the keys, then one value after another.
void read_some(const ModelConfig& config) {
    config.allow_only({"act", "tied", "size", "outer"}, "llama");
    if (config.text("act", "silu") != "silu") config.reject("act", "it is not silu");
    config.boolean("tied", true);
    const auto size = config.size("size", 8);
    if (size % 4 != 0) config.reject("size", "it is not four times a number");
    if (const auto outer = config.object("outer")) {
        outer->number("must");
        if (outer->number("share", 1.0) > 1.0) outer->reject("share", "it is more than all");
    }
}

std::string named_all(const char* json) {
    return error_of(Read(json), [](auto& c) { c.read_naming_all(read_some); });
}

TEST(ModelConfig, NamesAllProblemsOfAFileAtOnce) {
    EXPECT_NO_THROW(Read(R"({"size":4,"outer":{"must":1}})")->read_naming_all(read_some));
    EXPECT_EQ(named_all(R"({"act":"relu"})"), unusable("act", "it is not silu", kUnsupported));
    EXPECT_EQ(named_all(R"({"pruned_heads":{"0":[1]},"is_causal":false,"act":"relu","tied":3,)"
                        R"("outer":{"must":1,"share":2.0}})"),
              "/config.json: 5 keys are not usable ("
              "'is_causal': transformers computes by it, and memcap lacks it; "
              "'pruned_heads': transformers computes by it, and memcap lacks it; "
              "'act': it is not silu; 'tied': 3 is neither true nor false; "
              "'outer.share': it is more than all). "
              "For 'is_causal', 'pruned_heads', 'act', 'outer.share': if this is the config.json of the "
              "weights, memcap cannot compute the model. "
              "For 'tied': use the config.json that belongs to the weights");
}

TEST(ModelConfig, AKeyMayHaveAdviceOfItsOwn) {
    const Read config(R"({"act":"relu","tied":3})");
    EXPECT_EQ(error_of(config, [](auto& c) { c.reject("act", "it is not silu", "Write silu"); }),
              unusable("act", "it is not silu", ". Write silu"));
    EXPECT_EQ(error_of(config,
                       [](auto& c) {
                           c.read_naming_all([](const ModelConfig& some) {
                               if (some.has("act")) some.reject("act", "it is not silu", "Write silu");
                               if (some.has("tied")) some.reject("tied", "3 is odd");
                           });
                       }),
              "/config.json: 2 keys are not usable ('act': it is not silu; 'tied': 3 is odd). For 'act': "
              "write silu. For 'tied': if this is the config.json of the weights, memcap cannot compute the "
              "model");
}

TEST(ModelConfig, OfAnAdapterIsRefused) {
    const ModelFolder folder;
    folder.write("adapter_config.json", R"({"peft_type":"LORA"})");
    const std::string alone = data_error(folder, [&] { ModelConfig::load(folder.path()); });
    EXPECT_TRUE(alone.starts_with("/adapter_config.json: the folder holds an adapter, not a model ("))
        << alone;
    EXPECT_TRUE(alone.ends_with("copy the tokenizer's files to MERGED")) << alone;
    folder.write("config.json", "{}");
    const std::string beside = data_error(folder, [&] { ModelConfig::load(folder.path()); });
    EXPECT_TRUE(beside.starts_with("/adapter_config.json: beside the model lies an adapter (")) << beside;
    EXPECT_TRUE(beside.ends_with("; or take adapter_config.json away, to measure the model without it"))
        << beside;
    std::filesystem::remove(folder.file("adapter_config.json"));
    EXPECT_NO_THROW(ModelConfig::load(folder.path()));
}

TEST(ModelConfig, WhatHangsOnAWrongValueIsNotNamedWithIt) {
    // Without the size of the file the default would be judged, and not what the file means.
    EXPECT_EQ(named_all(R"({"size":6,"outer":{"share":2.0}})"),
              unusable("size", "it is not four times a number", kUnsupported));
    EXPECT_EQ(named_all(R"({"size":"x","outer":{"share":2.0}})"),
              unusable("size", "\"x\" is not an integer"));
    EXPECT_EQ(named_all(R"({"outer":{"share":2.0}})"), unusable("outer.must", "it is missing"));
    EXPECT_EQ(named_all(R"({"outer":{"must":"x"}})"), unusable("outer.must", "\"x\" is not a number"));
    EXPECT_EQ(named_all(R"({"act":4,"outer":{"share":2.0}})"),
              "/config.json: 2 keys are not usable ('act': 4 is not a text; 'outer.must': it is missing)" +
                  std::string(kAdvice));
}

TEST(ModelConfig, GivesTheFirstArchitecture) {
    EXPECT_EQ(Read(R"({"architectures":["LlamaForCausalLM","Other"]})")->architecture(), "LlamaForCausalLM");
    EXPECT_EQ(error_of(Read("{}"), [](auto& c) { c.architecture(); }),
              unusable("architectures", "it is missing"));
    for (const char* json : {R"({"architectures":[]})", R"({"architectures":"LlamaForCausalLM"})",
                             R"({"architectures":[3]})", R"({"architectures":{}})"}) {
        EXPECT_EQ(error_of(Read(json), [](auto& c) { c.architecture(); }),
                  unusable("architectures", "it is not a list of names"))
            << json;
    }
}

TEST(ModelConfig, WhatIsNoJsonObjectIsRefused) {
    for (const char* json : {"", "[]", "3", "{", "{\"a\":1,}", "{\"a\" 1}", "\xff", "# yaml: yes"}) {
        const ModelFolder folder;
        folder.write("config.json", json);
        EXPECT_EQ(data_error(folder, [&] { ModelConfig::load(folder.path()); }),
                  "/config.json: not a JSON object" + std::string(kAdvice))
            << json;
    }
}

TEST(ModelConfig, AMissingFileIsToldFromAMissingFolder) {
    const ModelFolder folder;
    EXPECT_EQ(data_error(folder, [&] { ModelConfig::load(folder.path()); }),
              ": no config.json in the model folder. Give the folder of a Hugging Face model");
    EXPECT_EQ(data_error(folder, [&] { ModelConfig::load(folder.file("none")); }),
              "/none: no config.json in the model folder (the folder does not exist). "
              "Give the folder of a Hugging Face model");
}

TEST(ModelConfig, InfinityIsANumberOutsideOfTextsOnly) {
    const Read config(R"({"limit":[0.5,Infinity],"text":"Infinity \" Infinity \\","after":[Infinity]})");
    EXPECT_EQ(config->numbers("limit"), (std::vector<double>{0.5, HUGE_VAL}));
    EXPECT_EQ(config->text("text"), "Infinity \" Infinity \\");
    EXPECT_EQ(config->numbers("after"), std::vector<double>{HUGE_VAL});
}

TEST(ModelConfig, ACopyOutlivesItsOrigin) {
    std::optional<ModelConfig> copy;
    {
        const Read config(R"({"outer":{"n":5}})");
        copy = config->object("outer");
    }
    EXPECT_EQ(copy->integer("n"), 5);
}

TEST(ConfigIdentity, IsTheSha256OfTheFile) {
    const ModelFolder folder;
    folder.write("config.json", "abc");  // FIPS 180-4's first example
    EXPECT_EQ(config_sha256(folder.path()),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace memcap::hub
