// Appending with pwrite, so that whatever an interrupted write left is overwritten by the next one.
#include "memcap/store/journal/append_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "memcap/base/errors.hpp"

namespace memcap::store {

namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* what, int error) {
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    throw StoreError(
        path,
        {.what = what,
         .where = {},
         .why = std::strerror(error),
         .advice = full ? "Free space (or raise the quota) and run again: what was recorded before is safe"
                        : "Check the file system, then run again: what was recorded before is safe"});
}

}  // namespace

AppendFile AppendFile::create(const std::filesystem::path& path) {
    auto file = create_new(path);
    if (!file) fail(path, "cannot make the file", EEXIST);
    return std::move(*file);
}

std::optional<AppendFile> AppendFile::create_new(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0 && errno == EEXIST) return std::nullopt;
    if (descriptor < 0) fail(path, "cannot make the file", errno);
    AppendFile file(path, descriptor);
    const int folder = ::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool durable = folder >= 0 && ::fsync(folder) == 0;
    const int error = errno;
    if (folder >= 0) ::close(folder);
    if (!durable) fail(path, "cannot make the file's name durable", error);
    return file;
}

AppendFile::AppendFile(AppendFile&& other) noexcept {
    *this = std::move(other);
}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
    if (this == &other) return *this;
    if (descriptor_ >= 0) ::close(descriptor_);
    path_ = std::move(other.path_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    end_bytes_ = other.end_bytes_;
    unsynced_ = other.unsynced_;
    failed_sync_ = other.failed_sync_;
    return *this;
}

AppendFile::~AppendFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void AppendFile::append(std::span<const std::byte> block, std::span<const std::byte> rest) {
    expect_usable();
    unsynced_ = true;
    std::uint64_t end_bytes = end_bytes_;
    for (auto part : {block, rest}) {
        while (!part.empty()) {
            const auto count = ::pwrite(descriptor_, part.data(), part.size(), static_cast<off_t>(end_bytes));
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) {
                const int error = count < 0 ? errno : ENOSPC;
                // If this fails as well, the next append overwrites the rest of the block.
                [[maybe_unused]] const int cut = ::ftruncate(descriptor_, static_cast<off_t>(end_bytes_));
                fail(path_, "cannot record a result", error);
            }
            part = part.subspan(static_cast<std::size_t>(count));
            end_bytes += static_cast<std::uint64_t>(count);
        }
    }
    end_bytes_ = end_bytes;
}

void AppendFile::sync() {
    expect_usable();
    if (!unsynced_) return;
    while (::fdatasync(descriptor_) != 0) {
        if (errno == EINTR) continue;
        failed_sync_ = true;
        fail(path_, "the record did not reach the disk", errno);
    }
    unsynced_ = false;
}

void AppendFile::expect_usable() const {
    if (failed_sync_) {
        throw StoreError(path_,
                         {.what = "the record cannot be continued in this file",
                          .where = {},
                          .why = "an earlier write did not reach the disk",
                          .advice = "Check the file system, then run again: what was acknowledged is safe"});
    }
}

}  // namespace memcap::store
