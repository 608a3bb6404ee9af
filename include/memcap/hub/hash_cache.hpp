// SHA-256 of large files, remembered from launch to launch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

namespace memcap::hub {

/// Hashes by path, size and time of last change: a file with all three as before is not read again. As with
/// any such cache, a file that is changed and given its old size and time goes unnoticed.
class HashCache {
  public:
    /// Remembers nothing from before and cannot be saved.
    HashCache() = default;
    /// Starts with what `file` holds; nothing if it is missing, damaged or of another version of memcap.
    explicit HashCache(std::filesystem::path file);

    /// The hash of a file's content; throws DataError if it has to be read and cannot be.
    std::string sha256(const std::filesystem::path& path);
    /// Whether all of these were in the cache when it was made, and are unchanged.
    bool knew(std::span<const std::filesystem::path> paths) const;
    /// Replaces the cache's file by all that is known. Throws StoreError.
    void save() const;

  private:
    struct Entry {
        std::uintmax_t size_bytes = 0;
        std::int64_t changed_ns = 0;
        std::string sha256;
        bool from_before = false;
    };

    /// The entry of an unchanged file, or null.
    const Entry* find(const std::filesystem::path& path) const;

    std::filesystem::path file_;
    std::map<std::string, Entry> entries_;  ///< by absolute path
};

}  // namespace memcap::hub
