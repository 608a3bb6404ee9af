// Hashes of weights are computed once, and again when a file has changed.
#include <gtest/gtest.h>

#include <chrono>
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

class HashCacheTest : public ::testing::Test {
  protected:
    HashCacheTest() { write("abc"); }

    void write(const std::string& text) const { std::ofstream(weights) << text; }
    /// Other bytes under the old size and time: only a cache can then give the old hash.
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
    HashCache cache;
    EXPECT_EQ(cache.sha256(weights), kAbc);
    change_in_secret("abd");
    EXPECT_EQ(cache.sha256(weights), kAbc);
    fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::seconds(1));
    EXPECT_EQ(cache.sha256(weights), kAbd);
}

TEST_F(HashCacheTest, ANewSizeAloneIsAChange) {
    HashCache cache;
    cache.sha256(weights);
    change_in_secret("abcd");
    EXPECT_NE(cache.sha256(weights), kAbc);
}

TEST_F(HashCacheTest, KnowsAfterARestartWhatItSavedAndNothingElse) {
    const std::vector<fs::path> files{weights};
    HashCache first(file);
    EXPECT_FALSE(first.knew(files));
    first.sha256(weights);
    EXPECT_FALSE(first.knew(files)) << "it was not there when the cache was made";
    first.save();
    change_in_secret("abd");
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
    HashCache cache(file);
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
