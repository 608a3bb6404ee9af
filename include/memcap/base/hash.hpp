// Hashes: XXH3 for ids and frames, SHA-256 for the identity of weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "memcap/base/bytes.hpp"
#include "memcap/base/ids.hpp"

namespace memcap {

class InputFile;

/// XXH3-128 of a byte string.
Id128 hash128(std::span<const std::byte> bytes);

/// XXH3-64 of a byte string, the checksum of journal frames.
std::uint64_t hash64(std::span<const std::byte> bytes);

/// hash64() of bytes that come piece by piece.
class Hash64 {
  public:
    Hash64();
    void add(std::span<const std::byte> bytes);
    std::uint64_t finish() const;

  private:
    struct Free {
        void operator()(void* state) const;
    };
    std::unique_ptr<void, Free> state_;
};

/// SHA-256 of bytes that come piece by piece.
class Sha256 {
  public:
    Sha256();
    void add(std::span<const std::byte> bytes);
    /// 64 hexadecimal digits; nothing may be added afterwards.
    std::string finish_hex();

  private:
    struct Free {
        void operator()(void* context) const;
    };
    std::unique_ptr<void, Free> context_;
};

/// SHA-256 of a byte string, 64 hexadecimal digits.
std::string sha256_hex(std::span<const std::byte> bytes);

/// SHA-256 of a file's content, read in blocks; throws DataError if it cannot be read.
std::string sha256_file_hex(const std::filesystem::path& path);
/// The same of a file that is open.
std::string sha256_file_hex(const InputFile& file);

}  // namespace memcap
