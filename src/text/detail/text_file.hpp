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
    /// Reads `path`; throws DataError if it cannot be read, is a pointer of Git LFS, UTF-16 or UTF-32, is not
    /// UTF-8 or has a NUL byte (with the place), or has nothing but white space.
    explicit TextFile(std::filesystem::path path);

    std::string_view content() const noexcept { return std::string_view(bytes_).substr(mark_size_bytes_); }
    const std::filesystem::path& path() const noexcept { return path_; }

    /// Throws DataError if its lines end in carriage returns alone: to a reader of lines it is a single one.
    void require_line_ends() const;

    /// "path:line (byte n)" of an offset into content(); lines count from 1, bytes of the file from 0.
    std::string place(std::size_t offset) const;
    /// The error about something at an offset into content().
    DataError error_at(std::size_t offset, ErrorText text) const;

  private:
    void check_is_text() const;

    std::filesystem::path path_;
    std::string bytes_;
    std::size_t mark_size_bytes_ = 0;
};

/// Names the lines of a file, one after the other, in one pass over it.
class SourceLines {
  public:
    /// `file` must outlive the object.
    explicit SourceLines(const TextFile& file) : file_(file) {}

    /// "chunks.csv:12" for an offset into the content, which is not before that of the last call.
    std::string at(std::size_t offset);

  private:
    const TextFile& file_;
    std::size_t counted_ = 0;
    std::ptrdiff_t line_ = 1;
};

/// Whether there is nothing but white space.
bool is_blank(std::string_view text);

/// Takes the first line off `rest`, without its line end (LF or CRLF).
std::string_view take_line(std::string_view& rest);

}  // namespace memcap::text::detail
