// A file mapped read-only into memory.
#pragma once

#include <filesystem>
#include <span>

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

  private:
    std::span<const std::byte> bytes_;
};

}  // namespace memcap::hub::detail
