// Files: reading whole ones, and writes that leave either the old content or the new.
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "support/temporary_folder.hpp"

namespace memcap {
namespace {

namespace fs = std::filesystem;

std::string message_of_write(const fs::path& path, std::string_view content) {
    try {
        write_file_atomically(path, content);
    } catch (const StoreError& error) {
        return error.what();
    }
    return "no error";
}

TEST(DanglingLink, IsToldFromAnythingElse) {
    const test::TemporaryFolder folder;
    std::ofstream(folder / "file") << "x";
    fs::create_symlink("file", folder / "good");
    fs::create_symlink("blobs/gone", folder / "bad");
    EXPECT_EQ(end_of_dangling_link(folder / "file"), std::nullopt);
    EXPECT_EQ(end_of_dangling_link(folder / "good"), std::nullopt);
    EXPECT_EQ(end_of_dangling_link(folder / "none"), std::nullopt);
    EXPECT_EQ(end_of_dangling_link(folder / "bad"), folder / "blobs/gone");
    EXPECT_EQ(why_not_opened(folder / "none", ENOENT), "No such file or directory");
    EXPECT_EQ(why_not_opened(folder / "bad", ENOENT),
              "it is a link to " + (folder / "blobs/gone").string() + ", which is not there");
}

TEST(ReadTextFile, GivesEveryByte) {
    const test::TemporaryFolder folder;
    const std::string content("line\r\nzero \0 and \xff\n", 20);
    std::ofstream(folder.path() / "file", std::ios::binary) << content;
    EXPECT_EQ(read_text_file(folder.path() / "file"), content);
    std::ofstream(folder.path() / "empty");
    EXPECT_EQ(read_text_file(folder.path() / "empty"), "");
}

TEST(ReadTextFile, RefusesWhatIsNoReadableFile) {
    const test::TemporaryFolder folder;
    EXPECT_THROW(read_text_file(folder.path()), DataError);
    try {
        read_text_file(folder.path() / "none");
        FAIL() << "read";
    } catch (const DataError& error) {
        EXPECT_EQ(error.path(), folder.path() / "none");
        EXPECT_EQ(error.what(), (folder.path() / "none").string() +
                                    ": cannot read the file. Check that it exists and that you may read it");
    }
}

TEST(WriteFileAtomically, MakesAndReplacesAFile) {
    const test::TemporaryFolder folder;
    const fs::path file = folder.path() / "results";
    write_file_atomically(file, std::string("a\0b", 3));
    EXPECT_EQ(read_text_file(file), std::string("a\0b", 3));
    write_file_atomically(file, "");
    EXPECT_EQ(read_text_file(file), "");
    const std::string large(5 << 20, 'x');
    write_file_atomically(file, large);
    EXPECT_EQ(read_text_file(file), large);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1) << "a temporary file was left";
}

TEST(WriteFileAtomically, ReplacesTheNameAndNotTheOldContent) {
    const test::TemporaryFolder folder;
    const fs::path file = folder.path() / "results";
    write_file_atomically(file, "old");
    fs::create_hard_link(file, folder.path() / "reader");  // what a reader has open keeps its content
    write_file_atomically(file, "new");
    EXPECT_EQ(read_text_file(folder.path() / "reader"), "old");
    EXPECT_EQ(read_text_file(file), "new");
}

TEST(WriteFileAtomically, AFullDiskLeavesTheOldFile) {
    if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
    const test::TemporaryFolder folder;
    const fs::path file = folder.path() / "results";
    write_file_atomically(file, "old");
    fs::create_symlink("/dev/full", temporary_name(file));  // every write to it fails: no space left
    EXPECT_EQ(message_of_write(file, "new"),
              file.string() +
                  ".memcap-tmp: cannot write the file (No space left on device). "
                  "Check free space and permissions, then run again");
    EXPECT_EQ(read_text_file(file), "old");
    EXPECT_FALSE(fs::is_symlink(file));
    EXPECT_FALSE(fs::is_symlink(temporary_name(file))) << "a temporary file was left";
}

TEST(WriteFileAtomically, AFolderInTheWayStays) {
    const test::TemporaryFolder folder;
    const fs::path way = folder.path() / "results";
    fs::create_directory(way);
    std::ofstream(way / "kept") << "kept";
    EXPECT_EQ(message_of_write(way, "new"), way.string() +
                                                ": cannot put the new file in place (Is a directory). "
                                                "Check free space and permissions, then run again");
    EXPECT_EQ(read_text_file(way / "kept"), "kept");
    EXPECT_FALSE(fs::exists(temporary_name(way))) << "a temporary file was left";
}

TEST(WriteFileAtomically, AMissingFolderIsNamed) {
    const test::TemporaryFolder folder;
    const fs::path file = folder.path() / "none" / "results";
    EXPECT_EQ(message_of_write(file, "new"),
              file.string() +
                  ".memcap-tmp: cannot open the file (No such file or directory). "
                  "Check free space and permissions, then run again");
}

TEST(PublishFile, MovesAClosedFileOverTheOldOne) {
    const test::TemporaryFolder folder;
    std::ofstream(folder.path() / "new") << "new";
    std::ofstream(folder.path() / "file") << "old";
    publish_file(folder.path() / "new", folder.path() / "file");
    EXPECT_EQ(read_text_file(folder.path() / "file"), "new");
    EXPECT_FALSE(fs::exists(folder.path() / "new"));
    EXPECT_THROW(publish_file(folder.path() / "new", folder.path() / "file"), StoreError);
    EXPECT_EQ(read_text_file(folder.path() / "file"), "new");
}

}  // namespace
}  // namespace memcap
