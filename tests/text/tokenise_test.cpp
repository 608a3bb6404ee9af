// From shipped texts to token ids, through the real helper.
#include "memcap/text/tokenise.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "memcap/text/random_words.hpp"
#include "support.hpp"

namespace memcap::text {
namespace {

using testing::kTokenizer;
using testing::real_helper;

using Ids = std::vector<std::int32_t>;

TEST(Tokenise, PrefixEndsWithTheSpaceBeforeTheText) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const std::vector<SampleText> samples{{.text = "The heron", .prefix = "He waited."},
                                          {.text = "The", .prefix = ""}};
    const auto whole = tokenise(client, kTokenizer, samples, {.text = 100, .prefix = 100}).samples;
    ASSERT_EQ(whole.size(), 2U);
    EXPECT_EQ(whole[0].text, (Ids{0, 306, 308, 296, 79}));
    EXPECT_EQ(client.decode(kTokenizer, whole[0].prefix), "He waited. ");
    EXPECT_EQ(whole[1].prefix, Ids{});
    const auto cut = tokenise(client, kTokenizer, samples, {.text = 2, .prefix = 3}).samples;
    EXPECT_EQ(cut[0].text, (Ids{0, 306, 308}));  // behind a prefix the text has two tokens of its own
    EXPECT_EQ(cut[0].prefix, Ids(whole[0].prefix.end() - 3, whole[0].prefix.end()));
    EXPECT_EQ(tokenise(client, kTokenizer, samples, {.text = 2, .prefix = 0}).samples[0].prefix, Ids{});
    EXPECT_EQ(tokenise(client, kTokenizer, samples, {.text = 2, .prefix = 0}).samples[0].text, (Ids{0, 306}));
}

TEST(Tokenise, PrefixEndsWithWhatStandsBeforeTheText) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const std::vector<SampleText> samples{{.text = "The", .prefix = "He waited.", .joint = "\n\n"},
                                          {.text = "走吧！", .prefix = "七時。", .joint = ""}};
    const auto tokens = tokenise(client, kTokenizer, samples, {.text = 9, .prefix = 9}).samples;
    EXPECT_THAT(client.decode(kTokenizer, tokens[0].prefix), ::testing::EndsWith("waited.\n\n"));
    EXPECT_EQ(client.decode(kTokenizer, tokens[1].prefix), "七時。");
}

TEST(Tokenise, NamesWhatTextsAndPrefixesSpell) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const std::vector<SampleText> samples{{.text = "a"}, {.text = "b", .prefix = "</s>"}, {.text = "<s><s>"}};
    const auto corpus = tokenise(client, kTokenizer, samples, {.text = 9, .prefix = 9});
    EXPECT_THAT(corpus.spelled, ::testing::ElementsAre(std::pair(1U, std::vector<std::string>{"</s>"}),
                                                       std::pair(2U, std::vector<std::string>{"<s>"})));
    EXPECT_EQ(corpus.tokenizer.opening, Ids{0});
    EXPECT_EQ(std::ranges::count(corpus.samples[2].text, 0), 1);
}

TEST(Tokenise, ShippedEssaysGiveThirtyTwoLongHalves) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const TextSource source{.kind = CorpusKind::text, .path = testing::kEssays, .samples = 32};
    const auto corpus = read_corpus(source, [&](auto texts, auto rule) { return client.split(texts, rule); });
    const auto samples = tokenise(client, kTokenizer, corpus.samples, {.text = 128, .prefix = 64}).samples;
    ASSERT_EQ(samples.size(), 32U);
    for (const auto& sample : samples) {
        EXPECT_EQ(sample.text.size(), 129U);
        EXPECT_EQ(sample.prefix.size(), 64U);
        EXPECT_EQ(sample.text.front(), 0);  // BOS
        EXPECT_NE(sample.prefix.front(), 0);
    }
}

TEST(Tokenise, RandomTextOfTheLongestLengthBeginsWithAllShorterOnes) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const auto tokens = [&](std::size_t length) {
        const auto corpus = read_corpus({.kind = CorpusKind::random_words,
                                         .path = testing::kWords,
                                         .samples = 4,
                                         .seed = 1,
                                         .length = length},
                                        {});
        return tokenise(client, kTokenizer, corpus.samples, {.text = length, .prefix = 0}).samples;
    };
    const auto longest = tokens(256);
    for (const std::size_t length : {2U, 16U, 100U}) {
        const auto shorter = tokens(length);
        for (std::size_t i = 0; i < 4; ++i) {
            ASSERT_EQ(longest[i].text.size(), 256U);
            EXPECT_EQ(shorter[i].text,
                      Ids(longest[i].text.begin(), longest[i].text.begin() + static_cast<int>(length)));
        }
    }
}

}  // namespace
}  // namespace memcap::text
