// SHA-256 of large files, remembered from launch to launch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "memcap/base/file_facts.hpp"

namespace memcap::hub {

/// Now in nanoseconds since 1970, by the clock that times of files are taken from.
std::int64_t file_clock_ns();

/// Whether a later version of a file that was hashed at this time would have other facts. Not if it had been
/// changed in the two seconds before, nor if its times are whole seconds and equal, as in an image of a file
/// system, whose versions are built with chosen times.
bool tell_versions_apart(const FileFacts& facts, std::int64_t hashed_ns);

/// Hashes by real path and FileFacts: a file with all of them as before is not read again. What they do not
/// tell from its later versions is not saved.
class HashCache {
  public:
    /// Remembers nothing from before and cannot be saved.
    HashCache() = default;
    /// Starts with what `file` holds; nothing if it is missing, damaged or of another version of memcap.
    explicit HashCache(std::filesystem::path file, std::function<std::int64_t()> clock_ns = &file_clock_ns);

    /// What a file holds; throws DataError if it has to be read and cannot be, or changes meanwhile.
    KnownFile known(const std::filesystem::path& path);
    /// Its hash alone.
    std::string sha256(const std::filesystem::path& path) { return known(path).sha256; }
    /// Whether all of these were in the cache when it was made, and are unchanged.
    bool knew(std::span<const std::filesystem::path> paths) const;
    /// Replaces the cache's file by all that is known. Throws StoreError.
    void save() const;

  private:
    struct Entry {
        FileFacts facts;
        std::string sha256;
        bool can_be_trusted_later = true;
        bool from_before = false;
    };

    /// The entry of an unchanged file, or null.
    const Entry* find(const std::filesystem::path& path) const;

    std::filesystem::path file_;
    std::function<std::int64_t()> clock_ns_ = &file_clock_ns;
    std::map<std::string, Entry> entries_;  ///< by real path
};

}  // namespace memcap::hub
