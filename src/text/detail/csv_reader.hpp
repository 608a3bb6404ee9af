// Comma-separated values: records of RFC 4180, with quoted fields that may hold commas, quotes and line ends.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/detail/text_file.hpp"

namespace memcap::text::detail {

/// Reads the records of a file one after the other.
class CsvReader {
  public:
    /// `file` must outlive the reader.
    explicit CsvReader(const TextFile& file) : file_(file), content_(file.content()) {}

    /// The next record into `fields`; false at the end. Empty lines are passed over. Throws DataError for a
    /// quote that is not closed, not doubled, or followed by something else than a comma or the end of the
    /// line.
    bool next(std::vector<std::string>& fields);

    /// Offset of the record that next() gave last.
    std::size_t record_offset() const noexcept { return record_offset_; }

  private:
    std::string quoted_field();
    std::string plain_field();
    bool at_line_end() const;
    void skip_line_end();

    const TextFile& file_;
    std::string_view content_;
    std::size_t at_ = 0;
    std::size_t record_offset_ = 0;
};

}  // namespace memcap::text::detail
