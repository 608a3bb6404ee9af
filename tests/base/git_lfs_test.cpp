// Pointers of Git LFS are told from the files that they stand for.
#include "memcap/base/git_lfs.hpp"

#include <gtest/gtest.h>

namespace memcap {
namespace {

TEST(GitLfsPointer, IsKnownByItsFirstLine) {
    EXPECT_TRUE(
        is_git_lfs_pointer("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"));
    EXPECT_TRUE(is_git_lfs_pointer("version https://git-lfs.github.com/spec/v1"));
    EXPECT_TRUE(is_git_lfs_pointer("version https://hawser.github.com/spec/v1\n"));
    EXPECT_TRUE(is_git_lfs_pointer("version http://git-media.io/v/2\n"));
}

TEST(GitLfsPointer, IsNoTextThatOnlySpeaksOfIt) {
    EXPECT_FALSE(is_git_lfs_pointer(""));
    EXPECT_FALSE(is_git_lfs_pointer("version 2 of this text"));
    EXPECT_FALSE(is_git_lfs_pointer(" version https://git-lfs.github.com/spec/v1\n"));
    EXPECT_FALSE(is_git_lfs_pointer("See https://git-lfs.github.com/spec/v1\n"));
}

}  // namespace
}  // namespace memcap
