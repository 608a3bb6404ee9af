// Hashes: XXH3 for ids and frames, SHA-256 for the identity of weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "memcap/base/bytes.hpp"
#include "memcap/base/ids.hpp"

namespace memcap {

/// XXH3-128 of a byte string.
Id128 hash128(std::span<const std::byte> bytes);

/// XXH3-64 of a byte string, the checksum of journal frames.
std::uint64_t hash64(std::span<const std::byte> bytes);

/// SHA-256 of a byte string, 64 hexadecimal digits.
std::string sha256_hex(std::span<const std::byte> bytes);

/// SHA-256 of a file's content, read in blocks; throws DataError if it cannot be read.
std::string sha256_file_hex(const std::filesystem::path& path);

}  // namespace memcap
