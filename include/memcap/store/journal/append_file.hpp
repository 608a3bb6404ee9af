// A file that only grows, and that a full disk leaves as it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

namespace memcap::store {

/// Appends whole blocks to a new file of its own.
class AppendFile {
  public:
    /// Makes the file, which must not exist yet, and makes its name durable. Throws StoreError.
    static AppendFile create(const std::filesystem::path& path);
    /// The same, and nothing if the file exists.
    static std::optional<AppendFile> create_new(const std::filesystem::path& path);

    AppendFile(AppendFile&& other) noexcept;
    AppendFile& operator=(AppendFile&& other) noexcept;
    AppendFile(const AppendFile&) = delete;
    AppendFile& operator=(const AppendFile&) = delete;
    ~AppendFile();

    /// Appends a block, which may lie in two parts in memory. Throws StoreError if it does not fit; the file
    /// then ends as before, and a later append may succeed.
    void append(std::span<const std::byte> block, std::span<const std::byte> rest = {});
    /// fdatasync. Throws StoreError; from then on the file refuses everything, because the kernel may have
    /// dropped what it could not write and would report success the next time.
    void sync();

    std::uint64_t size_bytes() const noexcept { return end_bytes_; }
    const std::filesystem::path& path() const noexcept { return path_; }

  private:
    AppendFile(std::filesystem::path path, int descriptor)
        : path_(std::move(path)), descriptor_(descriptor) {}
    void expect_usable() const;

    std::filesystem::path path_;
    int descriptor_ = -1;
    std::uint64_t end_bytes_ = 0;
    bool unsynced_ = false;
    bool failed_sync_ = false;
};

}  // namespace memcap::store
