// Hashes of weights are computed once, and again when a file has changed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/hub/hash_cache.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::hub {
namespace {

namespace fs = std::filesystem;

// sha256sum of the three bytes "abc" (FIPS 180-2, appendix B.1) and of "abd".
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kAbd = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9";

/// By this clock no file is young.
std::int64_t one_hour_later() {
    return file_clock_ns() + std::int64_t{3'600'000'000'000};
}

class HashCacheTest : public ::testing::Test {
  protected:
    HashCacheTest() { write("abc"); }

    void write(const std::string& text) const { std::ofstream(weights) << text; }
    /// Other bytes under the old size and time.
    void change_in_secret(const std::string& text) const {
        const auto time = fs::last_write_time(weights);
        write(text);
        fs::last_write_time(weights, time);
    }

    test::TemporaryFolder folder;
    fs::path weights = folder.path() / "model.safetensors";
    fs::path file = folder.path() / "hashes.json";
};

TEST_F(HashCacheTest, HashesAFileOnceAndAgainAfterAChange) {
    HashCache cache(file, one_hour_later);
    EXPECT_EQ(cache.sha256(weights), kAbc);
    cache.save();
    // Another hash under the same facts: only a cache can give it.
    std::string text = read_text_file(file);
    text.replace(text.find(kAbc), 64, kAbd);
    std::ofstream(file) << text;
    EXPECT_EQ(HashCache(file).sha256(weights), kAbd);
    write("xyz");
    EXPECT_NE(HashCache(file).sha256(weights), kAbd);
}

TEST_F(HashCacheTest, OtherBytesUnderTheOldSizeAndTimeAreAChange) {
    HashCache cache(file, one_hour_later);
    EXPECT_EQ(cache.sha256(weights), kAbc);
    cache.save();
    change_in_secret("abd");
    EXPECT_EQ(cache.sha256(weights), kAbd);
    EXPECT_EQ(HashCache(file).sha256(weights), kAbd);
}

TEST_F(HashCacheTest, ALinkThatLeadsElsewhereIsAChange) {
    const auto other = folder / "other";
    std::ofstream(other) << "abd";
    fs::last_write_time(other, fs::last_write_time(weights));
    const auto link = folder / "link";
    fs::create_symlink(weights, link);
    HashCache cache(file, one_hour_later);
    EXPECT_EQ(cache.known(link).sha256, kAbc);
    EXPECT_EQ(cache.known(link).name, "link");
    cache.save();
    fs::remove(link);
    fs::create_symlink(other, link);
    EXPECT_EQ(HashCache(file).sha256(link), kAbd);
    EXPECT_EQ(HashCache(file).sha256(weights), kAbc);
}

TEST_F(HashCacheTest, AYoungFileIsHashedAgainByTheNextLaunch) {
    const std::vector<fs::path> files{weights};
    HashCache young(file);
    young.sha256(weights);
    young.save();
    EXPECT_FALSE(HashCache(file).knew(files));
    HashCache old(file, one_hour_later);
    old.sha256(weights);
    old.save();
    EXPECT_TRUE(HashCache(file).knew(files));
}

TEST(HashCacheFacts, ThatVersionsShareAreNotTrusted) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    const FileFacts ordinary{.modified_ns = 5 * kSecond, .changed_ns = 100 * kSecond + 7};
    EXPECT_TRUE(tell_versions_apart(ordinary, 102 * kSecond + 7));
    EXPECT_FALSE(tell_versions_apart(ordinary, 102 * kSecond + 6));
    EXPECT_FALSE(tell_versions_apart(ordinary, 99 * kSecond)) << "a clock of a file server that is ahead";
    // An image whose files are all of 1970, and one with another time of its maker's choice.
    for (const std::int64_t time : {std::int64_t{0}, kSecond, 1'600'000'000 * kSecond})
        EXPECT_FALSE(tell_versions_apart({.modified_ns = time, .changed_ns = time}, 1'700'000'000 * kSecond));
}

TEST_F(HashCacheTest, ANewSizeAloneIsAChange) {
    HashCache cache;
    cache.sha256(weights);
    change_in_secret("abcd");
    EXPECT_NE(cache.sha256(weights), kAbc);
}

TEST_F(HashCacheTest, KnowsAfterARestartWhatItSavedAndNothingElse) {
    const std::vector<fs::path> files{weights};
    HashCache first(file, one_hour_later);
    EXPECT_FALSE(first.knew(files));
    first.sha256(weights);
    EXPECT_FALSE(first.knew(files)) << "it was not there when the cache was made";
    first.save();
    HashCache second(file);
    EXPECT_TRUE(second.knew(files));
    EXPECT_EQ(second.sha256(weights), kAbc);
    EXPECT_FALSE(second.knew(std::vector<fs::path>{weights, folder.path() / "another"}));
}

TEST_F(HashCacheTest, ADamagedFileIsNoCache) {
    HashCache(file).sha256(weights);
    for (const std::string content :
         {"", "{", "[]", R"({"memcap_version": "0.0.0", "files": {}})", R"({"files": 3})"}) {
        std::ofstream(file) << content;
        HashCache cache(file);
        EXPECT_FALSE(cache.knew(std::vector<fs::path>{weights})) << content;
        EXPECT_EQ(cache.sha256(weights), kAbc) << content;
    }
}

TEST_F(HashCacheTest, OneDamagedEntrySparesTheOthers) {
    HashCache cache(file, one_hour_later);
    cache.sha256(weights);
    cache.save();
    std::string text = read_text_file(file);
    text.insert(text.find("\"files\": {") + 10, "\n  \"/other\": {\"size_bytes\": -1},");
    std::ofstream(file) << text;
    EXPECT_TRUE(HashCache(file).knew(std::vector<fs::path>{weights}));
}

TEST_F(HashCacheTest, AMissingFileIsAnError) {
    HashCache cache;
    EXPECT_THROW(cache.sha256(folder.path() / "none"), DataError);
}

}  // namespace
}  // namespace memcap::hub
