// The system's side of looking at a lock.
#include "store/journal/detail/lock_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "memcap/base/errors.hpp"
#include "store/journal/detail/process_facts.hpp"

namespace memcap::store::detail {

namespace {

/// Two who ask at a time do not stand in each other's way: only an owner's lock excludes others.
KernelLock ask_kernel(int descriptor) {
    while (::flock(descriptor, LOCK_SH | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return KernelLock::somebody_else;
        if (errno != EINTR) return KernelLock::unsupported;
    }
    ::flock(descriptor, LOCK_UN);
    return KernelLock::free;
}

/// One look; says in `error` why it saw nothing.
std::optional<LockFile> look(const std::filesystem::path& file, AskKernel ask, int& error) {
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    std::array<char, 4096> text;
    struct stat facts {};
    const bool opened = descriptor >= 0 && ::fstat(descriptor, &facts) == 0;
    const auto count = opened ? ::pread(descriptor, text.data(), text.size(), 0) : -1;
    error = errno;
    LockFile found;
    if (count >= 0) {
        found.text.assign(text.data(), static_cast<std::size_t>(count));
        found.device = facts.st_dev;
        if (ask == AskKernel::yes) found.kernel_lock = ask_kernel(descriptor);
    }
    if (descriptor >= 0) ::close(descriptor);
    return count >= 0 ? std::optional(found) : std::nullopt;
}

}  // namespace

std::optional<LockFile> read_lock_file(const std::filesystem::path& file, AskKernel ask) {
    constexpr int kMostLooks = 5;
    int looks = 0;
    int error = 0;
    do {
        if (auto found = look(file, ask, error)) return found;
        // A host elsewhere replaced the file between its opening and its reading.
    } while (error == ESTALE && ++looks < kMostLooks);
    if (error == ENOENT) return std::nullopt;
    throw StoreError(file, {.what = "cannot read the lock of the run folder",
                            .where = {},
                            .why = std::strerror(error),
                            .advice = "Check the file system and that you may read the run folder"});
}

ProcessSight look_at_process(const LockOwner& owner) {
    if (owner.pid <= 0) return ProcessSight::unknown;
    if (::kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == ESRCH) return ProcessSight::dead;
    const auto process = process_facts(owner.pid);
    if (!process) return ProcessSight::alive;
    const bool another = owner.process_start != 0 && process->start != owner.process_start;
    return another || process->has_ended ? ProcessSight::dead : ProcessSight::alive;
}

}  // namespace memcap::store::detail
