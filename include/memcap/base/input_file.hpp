// A file that is read piece by piece, with errors as exceptions instead of signals.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "memcap/base/file_facts.hpp"

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
    std::size_t size_bytes() const noexcept { return static_cast<std::size_t>(facts_.size_bytes); }
    /// What the system said of it when it was opened.
    const FileFacts& facts() const noexcept { return facts_; }
    /// Throws DataError if it has been changed since it was opened: then what was read may be of two
    /// versions.
    void require_unchanged() const;
    /// Fills `target` from this place on; throws DataError if the bytes cannot be read or are not there.
    void read(std::size_t offset, std::span<std::byte> target) const;

  private:
    std::filesystem::path path_;
    FileFacts facts_;
    int descriptor_ = -1;
};

}  // namespace memcap
