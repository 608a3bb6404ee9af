// Random texts and lengths: reproducible, extending, uniform.
#include "memcap/text/random_words.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "memcap/base/errors.hpp"
#include "memcap/text/corpus.hpp"
#include "support.hpp"

namespace memcap::text {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchFolder;

const std::vector<std::string> kTen{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};

TEST(RandomText, LongerOneExtendsTheShorterOne) {
    const auto shorter = random_text(kTen, 3, 5, 40);
    const auto longer = random_text(kTen, 3, 5, 400);
    EXPECT_EQ(std::count(shorter.begin(), shorter.end(), ' '), 39);
    EXPECT_EQ(longer.substr(0, shorter.size() + 1), shorter + " ");
    EXPECT_EQ(random_text(kTen, 3, 5, 0), "");
}

TEST(RandomText, DependsOnSeedAndSample) {
    EXPECT_EQ(random_text(kTen, 3, 5, 40), random_text(kTen, 3, 5, 40));
    EXPECT_NE(random_text(kTen, 3, 5, 40), random_text(kTen, 4, 5, 40));
    EXPECT_NE(random_text(kTen, 3, 5, 40), random_text(kTen, 3, 6, 40));
}

TEST(RandomText, EachWordIsEquallyLikely) {
    std::map<std::string, int> counts;
    std::istringstream words(random_text(kTen, 0, 0, 100'000));
    for (std::string word; words >> word;) ++counts[word];
    ASSERT_EQ(counts.size(), 10U);
    double chi_square = 0;
    for (const auto& [word, count] : counts) chi_square += (count - 1e4) * (count - 1e4) / 1e4;
    EXPECT_LT(chi_square, 27.9);  // 9 degrees of freedom, p = 0.001
}

TEST(RandomText, NeverChangesFromVersionToVersion) {
    // A trial's id hashes the tokens of its text: another draw would orphan every stored result. The values
    // were computed in Python with the xxhash package and a Philox checked against Random123's published
    // vectors.
    const auto vocabulary = read_vocabulary(testing::kWords);
    EXPECT_EQ(random_text(vocabulary, 0, 0, 5), "pilot apart wife tried nobody");
    EXPECT_EQ(random_text(vocabulary, 7, 3, 3), "constructed teen bangladesh");
    EXPECT_EQ(random_length(0, 0, 2, 256), 86);
    EXPECT_EQ(random_length(7, 3, 2, 256), 112);
}

TEST(RandomLength, CoversItsRangeEndsIncluded) {
    std::map<std::int32_t, int> counts;
    for (std::uint64_t i = 0; i < 5000; ++i) ++counts[random_length(1, i, 2, 6)];
    ASSERT_EQ(counts.size(), 5U);
    EXPECT_EQ(counts.begin()->first, 2);
    EXPECT_EQ(counts.rbegin()->first, 6);
    for (const auto& [length, count] : counts) EXPECT_NEAR(count, 1000, 120) << length;
    EXPECT_EQ(random_length(1, 2, 9, 9), 9);
}

TEST(RandomLength, IsAnotherStreamThanTheWords) {
    // With one stream for both, the first word would be a function of the length.
    int equal = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const auto word = random_text(kTen, 0, i, 1);
        equal += random_length(0, i, 0, 9) == word[0] - 'a' ? 1 : 0;
    }
    EXPECT_NEAR(equal, 100, 40);
}

TEST(Vocabulary, IsOneWordALine) {
    const ScratchFolder scratch;
    EXPECT_THAT(read_vocabulary(scratch.write("v", "\xEF\xBB\xBFthe\r\n\ncafé\nend")),
                ::testing::ElementsAre("the", "café", "end"));
    EXPECT_THAT(
        message_of<DataError>([&] { read_vocabulary(scratch.write("v", "the 0.4 -1.2\nof 0.7 0.1\n")); }),
        HasSubstr("v:1 (byte 0): the line is not a single word"));
    EXPECT_THAT(message_of<DataError>([&] { read_vocabulary(scratch.write("v", "the\nof\ncaf\xE9\n")); }),
                HasSubstr("v:3 (byte 10): the file is not UTF-8"));
    EXPECT_THAT(message_of<DataError>([&] { read_vocabulary(scratch.write("v", "\n\n")); }),
                HasSubstr("v: the file is empty"));
    EXPECT_THAT(message_of<DataError>([&] { read_vocabulary(scratch.path() / "none.txt"); }),
                HasSubstr("there is no such file"));
}

TEST(RandomCorpus, HasFiveWordsATokenAndNoPrefixes) {
    const auto vocabulary = read_vocabulary(testing::kWords);
    const auto corpus = read_corpus(
        {.kind = CorpusKind::random_words, .path = testing::kWords, .samples = 3, .seed = 4, .length = 16},
        {});
    ASSERT_EQ(corpus.samples.size(), 3U);
    EXPECT_EQ(corpus.prefixes, Prefixes::none);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(corpus.samples[i].text, random_text(vocabulary, 4, i, 80));
}

}  // namespace
}  // namespace memcap::text
