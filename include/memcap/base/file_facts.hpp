// What the system says of a file besides its bytes: tells it from other files and from later versions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace memcap {

/// On one machine, between two of its starts, files with equal facts are one file with equal bytes: the
/// kernel alone sets the time of the last change of the inode. An image of a file system has the times that
/// its maker chose; there and within one tick of the clock, different bytes may have equal facts.
struct FileFacts {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size_bytes = 0;
    std::int64_t modified_ns = 0;  ///< time of the last change of the bytes, which programs may set
    std::int64_t changed_ns = 0;   ///< time of the last change of anything

    bool operator==(const FileFacts&) const = default;
    std::string text() const;
};

/// Of an open file; nothing if the system does not say.
std::optional<FileFacts> facts_of_descriptor(int descriptor);
/// Of the file that a path leads to now.
std::optional<FileFacts> facts_of_file(const std::filesystem::path& path);

/// Throws DataError, which names `path`, if an open file has not these facts any more.
void require_facts(const std::filesystem::path& path, int descriptor, const FileFacts& facts);

/// What a file held when it was hashed.
struct KnownFile {
    std::string name;  ///< without its folder
    std::string sha256;
    FileFacts facts;
    std::string place;  ///< where the facts hold: this_place() of the process that hashed it

    /// Whether an open file with these facts has the bytes that were hashed, without reading them.
    bool vouches_for(const FileFacts& opened) const;
};

/// This node since its last start: facts of files mean nothing elsewhere.
const std::string& this_place();

}  // namespace memcap
