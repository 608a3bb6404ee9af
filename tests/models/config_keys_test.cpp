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
constexpr RotaryKeys kPhi3{.share = "partial_rotary_factor"};
constexpr RotaryKeys kGptNeoX{.theta = "rotary_emb_base", .share = "rotary_pct", .default_share = 0.25};

nn::RotaryConfig rotary_of(const std::string& content, const RotaryKeys& keys) {
    const test::TemporaryFolder folder;
    std::ofstream(folder.path() / "config.json") << content;
    return read_rotary(hub::ModelConfig::load(folder.path()), kHeadWidth, keys);
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

}  // namespace
}  // namespace memcap::models::families
