// What is loaded is what was hashed, wherever it lies and whenever it is loaded.
#include "memcap/hub/model_identity.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "hub/model_folder.hpp"
#include "memcap/base/host.hpp"
#include "memcap/hub/hash_cache.hpp"

namespace memcap::hub {
namespace {

namespace fs = std::filesystem;
using testing::data_error;
using testing::ModelFolder;
using testing::safetensors;

constexpr std::string_view kFile = "model.safetensors";

std::string weights(std::string_view data = "1234") {
    return safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", data);
}

class ModelIdentityTest : public ::testing::Test {
  protected:
    ModelIdentityTest() {
        folder.write("config.json", R"({"architectures":["LlamaForCausalLM"]})");
        folder.write(kFile, weights());
        HashCache hashes;
        identity = identify(folder.path(), hashes);
    }

    /// What is said of the weights as they lie there now.
    std::string problem() const {
        return data_error(folder, [&] {
            NodeHashes hashes;
            require_identity(WeightFiles::open(folder.path()), identity, hashes);
        });
    }
    void replace_by_rename(std::string_view data) const {
        folder.write("new", weights(data));
        fs::rename(folder.file("new"), folder.file(kFile));
    }

    ModelFolder folder;
    ModelIdentity identity;
};

TEST_F(ModelIdentityTest, IsThatOfConfigAndWeights) {
    EXPECT_EQ(identity.config_sha256, config_sha256(folder.path()));
    EXPECT_EQ(identity.weights_sha256, weights_sha256(folder.path()));
    EXPECT_EQ(load_config(folder.path(), identity).architecture(), "LlamaForCausalLM");
    EXPECT_EQ(problem(), "no error");
}

TEST_F(ModelIdentityTest, OfTheVeryFileCostsNoReading) {
    // A hash that no bytes have: it passes only where the bytes are not looked at.
    identity.files.front().sha256 = identity.weights_sha256 = std::string(64, '0');
    EXPECT_EQ(problem(), "no error");
}

TEST_F(ModelIdentityTest, OfEqualBytesInAnotherFileOrOnAnotherNodePasses) {
    replace_by_rename("1234");
    EXPECT_EQ(problem(), "no error");
    identity.files.front().place = "elsewhere";
    EXPECT_EQ(problem(), "no error");
    identity.files.clear();
    EXPECT_EQ(problem(), "no error") << "the hashes alone are known";
}

TEST_F(ModelIdentityTest, OfOtherBytesIsRefusedWithFileHostAndHashes) {
    const std::string before = identity.weights_sha256;
    replace_by_rename("1235");
    EXPECT_EQ(problem(),
              "/model.safetensors: on " + host_name() +
                  " this has other bytes than those that were hashed (SHA-256 " +
                  weights_sha256(folder.path()) + " here, " + before +
                  " in the plan or on record: it was replaced, or this host has another copy). Put the "
                  "same model in place on every host and run again; trials of other weights are new "
                  "ones");
}

TEST_F(ModelIdentityTest, OfBytesThatWereOverwrittenInPlaceUnderTheirOldTimeIsRefused) {
    const auto time = fs::last_write_time(folder.file(kFile));
    folder.write(kFile, weights("1235"));
    fs::last_write_time(folder.file(kFile), time);
    EXPECT_NE(problem(), "no error");
    folder.write(kFile, weights("1234"));
    EXPECT_EQ(problem(), "no error");
}

TEST_F(ModelIdentityTest, OfTheSameFactsOnAnotherNodeIsThatOfTheBytes) {
    folder.write(kFile, weights("1235"));
    identity.files.front().facts = *facts_of_file(folder.file(kFile));
    EXPECT_EQ(problem(), "no error") << "here the facts are taken for the bytes";
    identity.files.front().place = "elsewhere";
    EXPECT_NE(problem(), "no error");
}

TEST_F(ModelIdentityTest, CountsTheFilesToo) {
    identity.files.front().name = "model-00001-of-00002.safetensors";
    EXPECT_EQ(problem(), "no error") << "one file's name is no part of the hash";
    folder.write("a.safetensors", weights());
    folder.write("b.safetensors", safetensors("{}", ""));
    folder.write("model.safetensors.index.json",
                 R"({"weight_map":{"w":"a.safetensors","x":"b.safetensors"}})");
    fs::remove(folder.file(kFile));
    EXPECT_TRUE(problem().starts_with(": on ")) << problem();
    HashCache hashes;
    identity = identify(folder.path(), hashes);
    EXPECT_EQ(problem(), "no error");
    folder.write("b.safetensors", safetensors("{} ", ""));
    EXPECT_TRUE(problem().starts_with("/b.safetensors: on ")) << problem();
}

TEST_F(ModelIdentityTest, OfAnotherConfigIsRefused) {
    folder.write("config.json", R"({"architectures":["LlamaForCausalLM"] })");
    EXPECT_TRUE(
        data_error(folder, [&] { load_config(folder.path(), identity); }).starts_with("/config.json: on "));
}

TEST_F(ModelIdentityTest, OfMemoryOfTheNodeIsCheckedLikeFiles) {
    const auto check = [&] {
        NodeHashes hashes;
        require_identity(WeightFiles::over(folder.path(), read_once_a_node(folder.path())), identity, hashes);
    };
    EXPECT_EQ(data_error(folder, check), "no error");
    identity.files.front().place = "elsewhere";
    EXPECT_EQ(data_error(folder, check), "no error");
    replace_by_rename("1235");
    EXPECT_TRUE(data_error(folder, check).starts_with("/model.safetensors: on "));
}

TEST_F(ModelIdentityTest, WhatWasOverwrittenWhileItWasInUseIsRefused) {
    WeightFiles open = WeightFiles::open(folder.path());
    NodeHashes hashes;
    const auto look = [&] { return data_error(folder, [&] { require_unchanged(open, identity, hashes); }); };
    EXPECT_EQ(look(), "no error");
    std::fstream(folder.file(kFile), std::ios::in | std::ios::out | std::ios::binary)
        .seekp(-1, std::ios::end)
        .put('x');
    EXPECT_TRUE(look().starts_with(": a weight file was changed on ")) << look();
}

TEST_F(ModelIdentityTest, WhatWasOverwrittenUnderItsOldTimeWhileItWasInUseIsRefused) {
    WeightFiles open = WeightFiles::open(folder.path());
    NodeHashes hashes;
    const auto time = fs::last_write_time(folder.file(kFile));
    std::fstream(folder.file(kFile), std::ios::in | std::ios::out | std::ios::binary)
        .seekp(-1, std::ios::end)
        .put('x');
    fs::last_write_time(folder.file(kFile), time);
    EXPECT_TRUE(data_error(folder, [&] {
                    require_unchanged(open, identity, hashes);
                }).starts_with("/model.safetensors: on "));
}

TEST_F(ModelIdentityTest, WhatLostItsNameWhileItWasInUseGoesOn) {
    WeightFiles open = WeightFiles::open(folder.path());
    NodeHashes hashes;
    replace_by_rename("1235");
    EXPECT_EQ(open.change(), WeightFiles::Change::facts_only);
    EXPECT_NO_THROW(require_unchanged(open, identity, hashes));
    EXPECT_EQ(open.change(), WeightFiles::Change::none) << "it is not hashed each time";
    EXPECT_NE(problem(), "no error") << "whoever opens it now gets the new one";
}

TEST(NodeHashesTest, HashWhatIsNamedAlikeOnce) {
    NodeHashes hashes;
    NodeHashes of_a_neighbour;
    const std::string name = "bytes of this test in process " + std::to_string(::getpid());
    const std::string first = "abc";
    const std::string hash = hashes.sha256(name, std::as_bytes(std::span(first)));
    EXPECT_EQ(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hashes.sha256(name, {}), hash);
    EXPECT_EQ(of_a_neighbour.sha256(name, {}), hash);
    EXPECT_NE(of_a_neighbour.sha256(name + "!", {}), hash);
}

}  // namespace
}  // namespace memcap::hub
