// mmap behind MappedFile.
#include "hub/detail/mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "memcap/base/errors.hpp"

namespace memcap::hub::detail {

MappedFile::MappedFile(const std::filesystem::path& path) {
    const auto fail = [&path] {
        const std::string why = std::strerror(errno);
        throw DataError(path, {.what = "cannot read the weight file",
                               .where = {},
                               .why = why,
                               .advice = "Check that it exists and that you may read it"});
    };
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail();
    struct stat facts {};
    if (::fstat(descriptor, &facts) != 0) {
        ::close(descriptor);
        fail();
    }
    const auto size_bytes = static_cast<std::size_t>(facts.st_size);
    void* address = nullptr;
    // An empty file cannot be mapped; it stays an empty span and fails the format check.
    if (size_bytes > 0) address = ::mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    ::close(descriptor);
    if (address == MAP_FAILED) fail();
    bytes_ = {static_cast<const std::byte*>(address), size_bytes};
    fingerprint_ = fmt::format("{}:{}:{}:{}.{:09}", facts.st_dev, facts.st_ino, facts.st_size,
                               facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), fingerprint_(std::move(other.fingerprint_)) {}

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
}

}  // namespace memcap::hub::detail
