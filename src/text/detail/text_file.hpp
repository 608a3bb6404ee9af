// A text file that has been read and checked, and messages that point into it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "memcap/base/errors.hpp"

namespace memcap::text::detail {

/// The content of a UTF-8 file without its byte order mark.
class TextFile {
  public:
    /// Reads `path`; throws DataError if it cannot be read, is not UTF-8 (with the byte) or has nothing but
    /// white space.
    explicit TextFile(std::filesystem::path path);

    std::string_view content() const noexcept { return std::string_view(bytes_).substr(mark_size_bytes_); }
    const std::filesystem::path& path() const noexcept { return path_; }

    /// "path:line (byte n)" of an offset into content(); lines count from 1, bytes of the file from 0.
    std::string place(std::size_t offset) const;
    /// The error about something at an offset into content().
    DataError error_at(std::size_t offset, ErrorText text) const;

  private:
    std::filesystem::path path_;
    std::string bytes_;
    std::size_t mark_size_bytes_ = 0;
};

/// Whether there is nothing but white space.
bool is_blank(std::string_view text);

/// Takes the first line off `rest`, without its line end (LF or CRLF).
std::string_view take_line(std::string_view& rest);

}  // namespace memcap::text::detail
