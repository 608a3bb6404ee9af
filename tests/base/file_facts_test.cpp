// Facts of files tell one from another, from its later versions, and from files of other nodes.
#include "memcap/base/file_facts.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/input_file.hpp"
#include "support/temporary_folder.hpp"

namespace memcap {
namespace {

namespace fs = std::filesystem;

class FileFactsTest : public ::testing::Test {
  protected:
    FileFactsTest() { write(file, "abc"); }

    static void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

    test::TemporaryFolder folder;
    fs::path file = folder / "file";
};

TEST_F(FileFactsTest, AreThoseOfAnOpenFileAndOfWhateverLeadsToIt) {
    fs::create_symlink(file, folder / "link");
    EXPECT_EQ(facts_of_file(file), InputFile(file).facts());
    EXPECT_EQ(facts_of_file(folder / "link"), facts_of_file(file));
    EXPECT_EQ(facts_of_file(file)->size_bytes, 3U);
    EXPECT_EQ(facts_of_file(folder / "none"), std::nullopt);
}

TEST_F(FileFactsTest, DifferForOtherBytesOfTheSameSizeAndTime) {
    const auto before = facts_of_file(file);
    const auto time = fs::last_write_time(file);
    write(folder / "other", "abd");
    fs::last_write_time(folder / "other", time);
    EXPECT_NE(facts_of_file(folder / "other"), before);
    write(file, "abd");
    fs::last_write_time(file, time);
    ASSERT_EQ(facts_of_file(file)->modified_ns, before->modified_ns);
    EXPECT_NE(facts_of_file(file), before);
    EXPECT_NE(facts_of_file(file)->text(), before->text());
}

TEST_F(FileFactsTest, OfAnOpenFileShowThatItWasChanged) {
    const InputFile open(file);
    EXPECT_NO_THROW(open.require_unchanged());
    write(folder / "other", "xyz");
    fs::rename(folder / "other", folder / "another");
    EXPECT_NO_THROW(open.require_unchanged());
    write(file, "abd");
    EXPECT_THROW(open.require_unchanged(), DataError);
}

TEST_F(FileFactsTest, VouchForAFileWhereTheyWereTakenOnly) {
    KnownFile known{.name = "file", .sha256 = {}, .facts = *facts_of_file(file), .place = this_place()};
    EXPECT_TRUE(known.vouches_for(*facts_of_file(file)));
    EXPECT_FALSE(known.vouches_for(*facts_of_file(folder.path())));
    known.place += "0";
    EXPECT_FALSE(known.vouches_for(*facts_of_file(file)));
}

TEST_F(FileFactsTest, OfAFileThatIsHashedAreThoseOfItsBytes) {
    EXPECT_EQ(sha256_file_hex(file), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const std::string large(3'000'001, 'x');
    write(file, large);
    Sha256 pieces;
    for (std::size_t at = 0; at < large.size(); at += 777)
        pieces.add(
            std::as_bytes(std::span(large).subspan(at, std::min<std::size_t>(777, large.size() - at))));
    EXPECT_EQ(pieces.finish_hex(), sha256_file_hex(file));
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(large))), sha256_file_hex(file));
}

}  // namespace
}  // namespace memcap
