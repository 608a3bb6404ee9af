// pread behind InputFile.
#include "memcap/base/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"

namespace memcap {

namespace {

[[noreturn]] void fail(const std::filesystem::path& path, std::string why) {
    throw DataError(path, {.what = "cannot read the file",
                           .where = {},
                           .why = std::move(why),
                           .advice = "Check that it exists and that you may read it"});
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail(path_, why_not_opened(path_, errno));
    struct stat facts {};
    const auto described = facts_of_descriptor(descriptor_);
    if (!described || ::fstat(descriptor_, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        ::close(descriptor_);
        fail(path_, "it is no regular file");
    }
    facts_ = *described;
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      facts_(other.facts_),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

InputFile::~InputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::require_unchanged() const {
    require_facts(path_, descriptor_, facts_);
}

void InputFile::read(std::size_t offset, std::span<std::byte> target) const {
    while (!target.empty()) {
        const ssize_t got = ::pread(descriptor_, target.data(), target.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail(path_, std::strerror(errno));
        if (got == 0) fail(path_, "it has become shorter while it was read");
        offset += static_cast<std::size_t>(got);
        target = target.subspan(static_cast<std::size_t>(got));
    }
}

}  // namespace memcap
