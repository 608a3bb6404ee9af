// The first line of a pointer.
#include "memcap/base/git_lfs.hpp"

#include <algorithm>
#include <array>

namespace memcap {

bool is_git_lfs_pointer(std::string_view first_bytes) {
    // The second and third are what clients wrote before version 1 of the format, and still read.
    constexpr std::array<std::string_view, 3> kFirstLines{"version https://git-lfs.github.com/spec/",
                                                          "version https://hawser.github.com/spec/",
                                                          "version http://git-media.io/v/"};
    return std::ranges::any_of(kFirstLines,
                               [&](std::string_view line) { return first_bytes.starts_with(line); });
}

}  // namespace memcap
