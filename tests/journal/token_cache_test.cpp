// The token cache: what was saved comes back, and damage is never mistaken for tokens.
#include "memcap/store/journal/token_cache.hpp"

#include <gtest/gtest.h>

#include "memcap/base/bytes.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using testing::TemporaryFolder;

TEST(TokenCache, GivesBackWhatWasSaved) {
    const TemporaryFolder place;
    const TokenCache cache(place.path());
    const Id128 key{1, 2};
    EXPECT_FALSE(cache.load(key));
    cache.save(key, testing::sample_tokens());
    EXPECT_EQ(cache.load(key), testing::sample_tokens());
    EXPECT_EQ(cache.file(key).filename(), "00000000000000010000000000000002.bin");
    cache.save(key, {});
    ASSERT_TRUE(cache.load(key));
    EXPECT_TRUE(cache.load(key)->empty());
}

TEST(TokenCache, ReadsFilesThatKnowNothingButTokens) {
    const TemporaryFolder place;
    const TokenCache cache(place.path());
    const Id128 key{5, 6};
    ByteWriter writer;
    writer.number(std::uint64_t{0x314B4F5450434D4D});
    writer.number(std::uint64_t{1});
    writer.array(std::vector<std::int32_t>{1, 2, 3});
    writer.array(std::vector<std::int32_t>{4});
    writer.number(hash64(writer.bytes()));
    const auto& bytes = writer.bytes();
    write_file_atomically(cache.file(key), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    const auto samples = cache.load(key);
    ASSERT_TRUE(samples);
    EXPECT_EQ(*samples, (std::vector<TokenSample>{{.text = {1, 2, 3}, .prefix = {4}}}));
}

TEST(TokenCache, IgnoresADamagedFile) {
    const TemporaryFolder place;
    const TokenCache cache(place.path());
    const Id128 key{3, 4};
    cache.save(key, {{.text = {1, 2, 3}, .prefix = {4}}});
    const std::string whole = read_text_file(cache.file(key));
    for (std::size_t at = 0; at < whole.size(); at += 5) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        write_file_atomically(cache.file(key), damaged);
        EXPECT_FALSE(cache.load(key)) << at;
        write_file_atomically(cache.file(key), whole.substr(0, at));
        EXPECT_FALSE(cache.load(key)) << at;
    }
}

}  // namespace
}  // namespace memcap::store
