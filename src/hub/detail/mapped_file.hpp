// A file mapped read-only into memory.
#pragma once

#include <filesystem>
#include <span>

#include "memcap/base/bytes.hpp"
#include "memcap/base/file_facts.hpp"

namespace memcap::hub::detail {

class MappedFile {
  public:
    /// Throws DataError if the file cannot be opened or mapped.
    explicit MappedFile(const std::filesystem::path& path);
    MappedFile(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    MappedFile& operator=(MappedFile&&) = delete;
    ~MappedFile();
    std::span<const std::byte> bytes() const noexcept { return bytes_; }
    /// What the system said of the file when it was mapped.
    const FileFacts& facts() const noexcept { return facts_; }
    /// Whether they are the same now.
    bool is_unchanged() const { return facts_of_descriptor(descriptor_) == facts_; }
    /// Whether nobody has written to it since, by its size and the time of the last change of its bytes: a
    /// file that only lost its name, or got other rights, has its old bytes.
    bool is_unwritten() const;
    /// Takes the facts of now for those of the mapping.
    void renew_facts();
    /// Gives the memory of the whole pages in `part` back; they are read again when they are next used.
    static void forget(std::span<const std::byte> part);

  private:
    std::filesystem::path path_;
    int descriptor_ = -1;
    std::span<const std::byte> bytes_;
    FileFacts facts_;
};

}  // namespace memcap::hub::detail
