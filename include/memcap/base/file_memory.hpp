// Files whose bytes lie in memory, whole or still arriving.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memcap/base/file_facts.hpp"

namespace memcap {

/// The content of a folder's files as another process or rank gave it. Safe to use from any thread.
class FileMemory {
  public:
    struct File {
        std::string name;  ///< without its folder
        std::span<const std::byte> bytes;
        std::optional<FileFacts> facts =
            std::nullopt;  ///< of the file on this node whose bytes these are; none for others
    };

    virtual ~FileMemory() = default;
    /// Valid while this object lives.
    virtual const std::vector<File>& files() const = 0;
    /// Equal for processes of one node that see the same memory, and for no others.
    virtual const std::string& identity() const = 0;
    /// Returns once `part` of a file's bytes may be read; throws TransportError if it will not come.
    virtual void wait_for(std::span<const std::byte> part) const = 0;
};

}  // namespace memcap
