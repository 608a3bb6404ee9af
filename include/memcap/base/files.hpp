// Files: whole-file reads, and writes that a crash leaves either undone or complete.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "memcap/base/bytes.hpp"

namespace memcap {

/// The whole content of a file; throws DataError if it cannot be read.
std::string read_text_file(const std::filesystem::path& path);

/// The name that `path` has until it is complete. Nobody but memcap ends a name like that, so what an
/// interrupted write left can be told from files of others.
std::filesystem::path temporary_name(const std::filesystem::path& path);
/// Whether temporary_name() makes such names.
bool is_temporary_name(const std::filesystem::path& path);

/// Replaces `path` by a file with this content: temporary name, fsync, rename, fsync of the folder.
/// Throws StoreError, and then leaves what was there before.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Makes a closed temporary file the file at `path`: fsync, rename, fsync of the folder. Throws StoreError.
void publish_file(const std::filesystem::path& temporary, const std::filesystem::path& path);

/// Why a file could not be opened with this value of errno: for a link that leads nowhere, where it leads.
std::string why_not_opened(const std::filesystem::path& path, int error);

/// Where a link leads whose end is not there; nothing for anything else.
std::optional<std::filesystem::path> end_of_dangling_link(const std::filesystem::path& path);

/// The bytes of a text.
std::span<const std::byte> as_bytes(std::string_view text);

}  // namespace memcap
