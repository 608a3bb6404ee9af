// Reading of text files: byte order marks, UTF-8, places.
#include "text/detail/text_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "memcap/base/files.hpp"
#include "memcap/base/utf8.hpp"

namespace memcap::text::detail {

namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

bool has_utf16_mark(std::string_view bytes) {
    return bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF");
}

void check_can_be_read(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
        throw DataError(path, {.what = "there is no such file",
                               .where = {},
                               .why = {},
                               .advice = "Correct the path; it is relative to the experiment file"});
    }
    if (std::filesystem::is_directory(path, ignored)) {
        throw DataError(path, {.what = "this is a folder, a file is needed",
                               .where = {},
                               .why = {},
                               .advice = "Name a file in it (only `kind: text` takes a folder)"});
    }
}

}  // namespace

TextFile::TextFile(std::filesystem::path path) : path_(std::move(path)) {
    check_can_be_read(path_);
    bytes_ = read_text_file(path_);
    if (bytes_.starts_with(kUtf8Mark)) mark_size_bytes_ = kUtf8Mark.size();
    if (const auto invalid = find_invalid_utf8(content())) {
        const bool utf16 = has_utf16_mark(bytes_);
        const auto byte = static_cast<unsigned char>(content()[*invalid]);
        throw error_at(*invalid,
                       {.what = "the file is not UTF-8",
                        .where = {},
                        .why = utf16 ? "it begins like UTF-16" : fmt::format("found 0x{:02X}", byte),
                        .advice = fmt::format("Convert it: iconv -f {} -t UTF-8 OLD > NEW",
                                              utf16 ? "UTF-16" : "LATIN1 (or what it is in)")});
    }
    if (is_blank(content())) {
        throw DataError(path_, {.what = "the file is empty",
                                .where = {},
                                .why = bytes_.empty() ? "" : "there is nothing but white space",
                                .advice = "Put text into it or name another file"});
    }
}

std::string TextFile::place(std::size_t offset) const {
    const auto before = content().substr(0, offset);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    return fmt::format("{}:{} (byte {})", path_.string(), line, mark_size_bytes_ + offset);
}

DataError TextFile::error_at(std::size_t offset, ErrorText text) const {
    text.where = place(offset);
    return DataError(path_, std::move(text));
}

bool is_blank(std::string_view text) {
    return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

std::string_view take_line(std::string_view& rest) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

}  // namespace memcap::text::detail
