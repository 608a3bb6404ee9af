// Git Large File Storage: small text files that a clone leaves where it did not fetch the large ones.
#pragma once

#include <cstddef>
#include <string_view>

namespace memcap {

/// No pointer is longer (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md, "The Pointer").
inline constexpr std::size_t kLongestGitLfsPointerBytes = 1024;

/// Whether a file that begins so is a pointer of Git LFS instead of the file that is meant. The bytes up to
/// the end of its first line are enough.
bool is_git_lfs_pointer(std::string_view first_bytes);

}  // namespace memcap
