// A file mapped read-only into memory.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "memcap/base/bytes.hpp"

namespace memcap::hub::detail {

class MappedFile {
  public:
    /// Throws DataError if the file cannot be opened or mapped.
    explicit MappedFile(const std::filesystem::path& path);
    MappedFile(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    MappedFile& operator=(MappedFile&&) = delete;
    ~MappedFile();
    std::span<const std::byte> bytes() const noexcept { return bytes_; }
    /// Device, inode, size and time of last change of the file that is mapped.
    const std::string& fingerprint() const noexcept { return fingerprint_; }
    /// Gives the memory of the whole pages in `part` back; they are read again when they are next used.
    static void forget(std::span<const std::byte> part);

  private:
    std::span<const std::byte> bytes_;
    std::string fingerprint_;
};

}  // namespace memcap::hub::detail
