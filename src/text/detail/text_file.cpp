// Reading of text files: byte order marks, UTF-8, places.
#include "text/detail/text_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "memcap/base/files.hpp"
#include "memcap/base/git_lfs.hpp"
#include "memcap/base/utf8.hpp"

namespace memcap::text::detail {

namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

/// The encoding in units of two or four bytes that a file seems to have, as iconv calls it, or "": by its
/// byte order mark, or by the zero bytes that plain letters have in it.
std::string wide_encoding(std::string_view bytes) {
    using namespace std::string_view_literals;
    if (bytes.starts_with("\xFF\xFE\0\0"sv) || bytes.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
    if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) return "UTF-16";
    constexpr std::size_t kLookedAt = 4096;
    bytes = bytes.substr(0, std::min(kLookedAt, bytes.size() / 4 * 4));
    std::array<std::size_t, 4> zeros{};
    for (std::size_t i = 0; i < bytes.size(); ++i) zeros[i % 4] += bytes[i] == '\0' ? 1 : 0;
    const auto many = [&](std::size_t place) { return zeros[place] * 4 * 5 > bytes.size() * 2; };
    if (many(1) && many(2) && many(3) && !many(0)) return "UTF-32LE";
    if (many(0) && many(1) && many(2) && !many(3)) return "UTF-32BE";
    if (many(1) && many(3) && !many(0) && !many(2)) return "UTF-16LE";
    if (many(0) && many(2) && !many(1) && !many(3)) return "UTF-16BE";
    return "";
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
    check_is_text();
    if (is_blank(content())) {
        throw DataError(path_, {.what = "the file is empty",
                                .where = {},
                                .why = bytes_.empty() ? "" : "there is nothing but white space",
                                .advice = "Put text into it or name another file"});
    }
}

void TextFile::check_is_text() const {
    if (is_git_lfs_pointer(bytes_)) {
        throw DataError(path_, {.what = "this is a pointer of Git LFS, not the file itself",
                                .where = {},
                                .why = {},
                                .advice = "Fetch the file: git lfs pull, in the repository it belongs to"});
    }
    const std::string wide = wide_encoding(bytes_);
    const auto invalid = wide.empty() ? find_invalid_utf8(content()) : std::optional<std::size_t>(0);
    if (invalid) {
        // Without a mark the order of the bytes is known, and named.
        const auto* marked = wide.ends_with('E') ? "looks" : "begins";
        const auto byte = static_cast<unsigned char>(content()[*invalid]);
        throw error_at(*invalid, {.what = "the file is not UTF-8",
                                  .where = {},
                                  .why = wide.empty() ? fmt::format("found 0x{:02X}", byte)
                                                      : fmt::format("it {} like {}", marked, wide),
                                  .advice = fmt::format("Convert it: iconv -f {} -t UTF-8 OLD > NEW",
                                                        wide.empty() ? "LATIN1 (or what it is in)" : wide)});
    }
    if (const auto nul = content().find('\0'); nul != std::string_view::npos) {
        throw error_at(nul, {.what = "there is a NUL byte in the text",
                             .where = {},
                             .why = {},
                             .advice = "Take such bytes out: tr -d '\\000' < OLD > NEW"});
    }
}

void TextFile::require_line_ends() const {
    const std::size_t end = content().find('\r');
    if (content().find('\n') != std::string_view::npos || end >= content().size() - 1) return;
    throw error_at(end, {.what = "the lines end in carriage returns alone",
                         .where = {},
                         .why = "as programs of the old Mac OS write them; lines have to end in a line feed",
                         .advice = "Convert it: tr '\\r' '\\n' < OLD > NEW"});
}

std::string SourceLines::at(std::size_t offset) {
    const auto passed = file_.content().substr(counted_, offset - counted_);
    line_ += std::count(passed.begin(), passed.end(), '\n');
    counted_ = offset;
    return fmt::format("{}:{}", file_.path().filename().string(), line_);
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
