// mmap behind MappedFile.
#include "hub/detail/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"

namespace memcap::hub::detail {

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
    const auto fail = [&path] {
        const std::string why = why_not_opened(path, errno);
        std::error_code ignored;
        const bool is_folder = std::filesystem::is_directory(path, ignored);
        throw DataError(path, {.what = "cannot read the weight file",
                               .where = {},
                               .why = is_folder ? "it is a folder" : why,
                               .advice = is_folder ? "Put the file itself in its place"
                                                   : "Check that it exists and that you may read it"});
    };
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail();
    const auto facts = facts_of_descriptor(descriptor_);
    void* address = facts ? nullptr : MAP_FAILED;
    // An empty file cannot be mapped; it stays an empty span and fails the format check.
    if (facts && facts->size_bytes > 0)
        address = ::mmap(nullptr, facts->size_bytes, PROT_READ, MAP_SHARED, descriptor_, 0);
    if (address == MAP_FAILED) {
        const int error = errno;
        ::close(descriptor_);
        errno = error;
        fail();
    }
    facts_ = *facts;
    bytes_ = {static_cast<const std::byte*>(address), static_cast<std::size_t>(facts_.size_bytes)};
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      bytes_(std::exchange(other.bytes_, {})),
      facts_(other.facts_) {}

bool MappedFile::is_unwritten() const {
    const auto now = facts_of_descriptor(descriptor_);
    return now && now->size_bytes == facts_.size_bytes && now->modified_ns == facts_.modified_ns;
}

void MappedFile::renew_facts() {
    facts_ = facts_of_descriptor(descriptor_).value_or(FileFacts{});
}

void MappedFile::forget(std::span<const std::byte> part) {
    const auto page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(part.data());
    const auto first = (begin + page_bytes - 1) / page_bytes * page_bytes;
    const auto last = (begin + part.size()) / page_bytes * page_bytes;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace memcap::hub::detail
