// Keys that families share, against what the configuration classes of transformers 5.23 make of the same
// values.
#include "models/families/config_keys.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "memcap/base/errors.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::models::families {
namespace {

constexpr std::int32_t kHeadWidth = 8;
constexpr RotaryKeys kLlama{};
constexpr RotaryKeys kSmolLM3{.default_theta = 2e6};
constexpr RotaryKeys kPhi3{.share = "partial_rotary_factor", .longrope_original_tokens = 4096};
constexpr RotaryKeys kGptNeoX{.theta = "rotary_emb_base", .share = "rotary_pct", .default_share = 0.25};

nn::RotaryConfig rotary_of(const std::string& content, const RotaryKeys& keys) {
    const test::TemporaryFolder folder;
    std::ofstream(folder.path() / "config.json") << content;
    const auto config = hub::ModelConfig::load(folder.path());
    Sizes sizes{};
    sizes.head_dim = kHeadWidth;
    sizes.max_position_embeddings = config.size("max_position_embeddings", 2048);
    return read_rotary(config, sizes, keys);
}

struct Spelling {
    RotaryKeys keys;
    const char* content;  ///< of config.json
    double theta;
    std::int32_t rotated;  ///< elements of a head of 8
    double linear_factor = 1.0;
};

TEST(Rotary, IsReadAsTransformersReadsItInEachSpelling) {
    // theta and partial_rotary_factor * 8 as printed by GPTNeoXConfig(**content).rope_parameters and so on.
    const Spelling spellings[]{
        {kGptNeoX, R"({})", 1e4, 2},
        {kGptNeoX, R"({"rotary_emb_base": 500, "rotary_pct": 0.5})", 500, 4},
        {kGptNeoX, R"({"rope_theta": 77.0, "partial_rotary_factor": 0.75})", 1e4, 2},
        {kGptNeoX, R"({"rotary_emb_base": 500, "rotary_pct": 0.5, "rope_parameters":
            {"rope_type": "default", "rope_theta": 30.0, "partial_rotary_factor": 1.0}})",
         30, 8},
        {kGptNeoX,
         R"({"rotary_emb_base": 500, "rotary_pct": 0.5, "rope_parameters": {"rope_type": "default"}})", 500,
         4},
        {kGptNeoX, R"({"rotary_pct": 0.5, "rope_scaling": {"type": "linear", "factor": 4.0}})", 1e4, 4, 4.0},
        {kGptNeoX, R"({"rope_scaling": {"type": "linear", "factor": 4.0}, "rope_parameters":
            {"rope_type": "default", "rope_theta": 30.0, "partial_rotary_factor": 1.0}})",
         1e4, 2, 4.0},
        {kPhi3, R"({})", 1e4, 8},
        {kPhi3, R"({"rope_theta": 500.0, "partial_rotary_factor": 0.5, "rope_scaling": null})", 500, 4},
        {kPhi3, R"({"rope_theta": 500.0, "partial_rotary_factor": 0.5, "rope_parameters":
            {"rope_type": "default", "rope_theta": 30.0, "partial_rotary_factor": 0.75}})",
         30, 6},
        {kPhi3, R"({"rope_theta": 500.0, "partial_rotary_factor": 0.5, "rope_parameters":
            {"rope_type": "default"}})",
         500, 4},
        {kLlama, R"({"rope_theta": 500.0, "rope_parameters": {"rope_type": "default"}})", 500, 8},
        {kLlama, R"({"rope_theta": 500.0, "rope_parameters": {"rope_type": "default", "rope_theta": 30.0}})",
         30, 8},
        {kLlama, R"({"rope_theta": 500.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0},
            "rope_parameters": {"rope_type": "default", "rope_theta": 30.0}})",
         500, 8, 2.0},
        {kLlama, R"({"rope_theta": 500.0, "rope_scaling": {},
            "rope_parameters": {"rope_type": "default", "rope_theta": 30.0}})",
         30, 8},
        {kSmolLM3, R"({})", 2e6, 8}};
    for (const Spelling& spelling : spellings) {
        const nn::RotaryConfig found = rotary_of(spelling.content, spelling.keys);
        EXPECT_EQ(found.theta, spelling.theta) << spelling.content;
        EXPECT_EQ(found.head_width, spelling.rotated) << spelling.content;
        EXPECT_EQ(found.linear_factor, spelling.linear_factor) << spelling.content;
    }
}

std::string refusal(const std::string& content, const RotaryKeys& keys) {
    try {
        rotary_of(content, keys);
    } catch (const DataError& error) {
        return error.what();
    }
    return "no error";
}

TEST(Rotary, OfAPartIsRefusedByNameWhereItCannotBe) {
    const auto expect_named = [](const char* content, const RotaryKeys& keys, const char* name) {
        EXPECT_NE(refusal(content, keys).find(name), std::string::npos) << refusal(content, keys);
    };
    expect_named(R"({"rope_parameters": {"partial_rotary_factor": 0.5}})", kLlama,
                 "rope_parameters.partial_rotary_factor");
    expect_named(R"({"rotary_pct": 1.5})", kGptNeoX, "rotary_pct");
    expect_named(R"({"rotary_pct": 0.4})", kGptNeoX, "rotary_pct");  // 3 of 8 elements
    expect_named(R"({"partial_rotary_factor": 0.1})", kPhi3, "partial_rotary_factor");
}

TEST(Rotary, OfATypeThatMemcapLacksIsRefusedByItsNameWhateverElseItsKeysAre) {
    const auto expect_named = [](const char* content, const RotaryKeys& keys, const char* name) {
        EXPECT_NE(refusal(content, keys).find(name), std::string::npos) << refusal(content, keys);
    };
    expect_named(R"({"rope_scaling": {"rope_type": "mrope", "mrope_section": [1, 2]}})", kLlama, "'mrope'");
    expect_named(R"({"rope_scaling": {"type": "su", "short_factor": [1], "new": 1}})", kLlama, "'su'");
    expect_named(R"({"rope_scaling": {"type": "linear", "factor": 2, "new": 1}})", kPhi3, "'linear'");
    expect_named(R"({"rope_parameters": {"rope_type": "new", "partial_rotary_factor": 0.5}})", kLlama,
                 "'new'");
}

TEST(Rotary, OfAKnownTypeIsRefusedForValuesThatMakeNoFrequencies) {
    const auto expect_named = [](const char* content, const char* name) {
        EXPECT_NE(refusal(content, kLlama).find(name), std::string::npos) << refusal(content, kLlama);
    };
    expect_named(R"({"rope_scaling": {"type": "linear", "factor": 0}})", "rope_scaling.factor");
    expect_named(R"({"rope_scaling": {"type": "dynamic"}})", "rope_scaling.factor");
    expect_named(R"({"rope_scaling": {"type": "yarn", "factor": -1.0}})", "rope_scaling.factor");
    expect_named(R"({"rope_scaling": {"type": "yarn", "factor": 2.0, "beta_fast": -1.0}})", "beta_fast");
    expect_named(R"({"rope_scaling": {"type": "longrope", "long_factor": [1, 2, 3, 4]}})", "short_factor");
    expect_named(
        R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 2, 3], "long_factor": [1, 2, 3]}})",
        "3 factors for 4");
    expect_named(
        R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 2, 0, 4], "long_factor": [1, 2, 3, 4]}})",
        "rope_scaling.short_factor");
}

TEST(Rotary, ReachesAsFarAsItsScalingIsMadeFor) {
    const auto reach = [](const std::string& scaling) {
        return rotary_of(R"({"max_position_embeddings": 100, "rope_scaling": )" + scaling + "}", kLlama)
            .context_tokens;
    };
    EXPECT_EQ(reach("null"), 100);
    EXPECT_EQ(reach(R"({"type": "dynamic", "factor": 2.5})"), 250);
    // Qwen2.5's advice: the scaling is added, and the context stays as it was.
    EXPECT_EQ(reach(R"({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 100})"), 400);
    EXPECT_EQ(reach(R"({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 25})"), 100);
}

}  // namespace
}  // namespace memcap::models::families
