// What the table of transformers' keys says.
#include "hub/detail/transformers_keys.hpp"

#include <gtest/gtest.h>

#include "memcap/base/contracts.hpp"

namespace memcap::hub::detail {
namespace {

TEST(TransformersKeys, TellWhatIsReadFromWhatIsOnlyKnown) {
    EXPECT_EQ(key_use("llama", "hidden_act"), KeyUse::read);
    EXPECT_EQ(key_use("llama", "attention_dropout"), KeyUse::idle);
    EXPECT_EQ(key_use("llama", "unsloth_fixed"), KeyUse::unknown);
    EXPECT_EQ(key_use("rope_parameters", "beta_fast"), KeyUse::read);
}

TEST(TransformersKeys, AreThoseOfTheModelTypeAndOfAll) {
    EXPECT_EQ(key_use("olmo", "clip_qkv"), KeyUse::read);
    EXPECT_EQ(key_use("llama", "clip_qkv"), KeyUse::unknown);
    EXPECT_EQ(key_use("gpt2", "summary_type"), KeyUse::idle);
    EXPECT_EQ(key_use("opt", "summary_type"), KeyUse::unknown);
    for (const char* type : {"llama", "gpt2", "mamba2"}) {
        EXPECT_EQ(key_use(type, "quantization_config"), KeyUse::read);
        EXPECT_EQ(key_use(type, "use_bfloat16"), KeyUse::idle);
    }
}

TEST(TransformersKeys, AreWholeWords) {
    for (const char* part : {"hidden", "hidden_ac", "idden_act", "hidden_act hidden_size", " ", ""})
        EXPECT_EQ(key_use("llama", part), KeyUse::unknown) << part;
    EXPECT_EQ(key_use("llama", "attention_bias"), KeyUse::read);  // the first of its row
    EXPECT_EQ(key_use("llama", "vocab_size"), KeyUse::read);      // the last
}

TEST(TransformersKeys, NeedATypeOfTheTable) {
    EXPECT_THROW(key_use("orchid", "hidden_size"), ContractViolation);
}

}  // namespace
}  // namespace memcap::hub::detail
