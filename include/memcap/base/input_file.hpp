// A file that is read piece by piece, with errors as exceptions instead of signals.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace memcap {

class InputFile {
  public:
    /// Throws DataError if the file cannot be opened.
    explicit InputFile(const std::filesystem::path& path);
    InputFile(InputFile&& other) noexcept;
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;
    InputFile& operator=(InputFile&&) = delete;
    ~InputFile();

    /// Its size when it was opened.
    std::size_t size_bytes() const noexcept { return size_bytes_; }
    /// Device, inode, size and time of last change: tells it from other files and from later versions.
    const std::string& version() const noexcept { return version_; }
    /// Fills `target` from this place on; throws DataError if the bytes cannot be read or are not there.
    void read(std::size_t offset, std::span<std::byte> target) const;

  private:
    std::filesystem::path path_;
    std::string version_;
    int descriptor_ = -1;
    std::size_t size_bytes_ = 0;
};

}  // namespace memcap
