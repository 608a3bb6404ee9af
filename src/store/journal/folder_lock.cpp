// The lock of a run folder: flock where the file system has it, and a text that says who holds it.
#include "memcap/store/journal/folder_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/host.hpp"
#include "memcap/base/log.hpp"

namespace memcap::store {

namespace {

enum class KernelLock { held, unsupported, somebody_else };

KernelLock take_kernel_lock(int descriptor) {
    while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return KernelLock::somebody_else;
        if (errno != EINTR) return KernelLock::unsupported;
    }
    return KernelLock::held;
}

bool is_file_at(int descriptor, const std::filesystem::path& path) {
    struct stat opened {};
    struct stat named {};
    return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

std::string to_text(const LockOwner& owner) {
    return fmt::format("host={}\npid={}\njob={}\nrestarts={}\nstarted={}\nend\n", owner.host, owner.pid,
                       owner.job_id, owner.restart_count, owner.started_utc);
}

template <class Number>
void parse_number(const std::string& text, Number& number) {
    std::from_chars(text.data(), text.data() + text.size(), number);
}

std::optional<LockOwner> parse_owner(const std::string& text) {
    LockOwner owner;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line == "end") return owner;
        const auto equals = line.find('=');
        if (equals == std::string::npos) break;
        const std::string key = line.substr(0, equals);
        const std::string value = line.substr(equals + 1);
        if (key == "host") owner.host = value;
        if (key == "pid") parse_number(value, owner.pid);
        if (key == "job") owner.job_id = value;
        if (key == "restarts") parse_number(value, owner.restart_count);
        if (key == "started") owner.started_utc = value;
    }
    return std::nullopt;
}

std::optional<LockOwner> read_owner(int descriptor) {
    std::array<char, 4096> text;
    const auto count = ::pread(descriptor, text.data(), text.size(), 0);
    return count > 0 ? parse_owner(std::string(text.data(), static_cast<std::size_t>(count))) : std::nullopt;
}

/// Whether the owner named in the file cannot be writing any more.
bool is_gone(const LockOwner& owner, const LockOwner& self, KernelLock lock) {
    if (!self.job_id.empty() && self.job_id == owner.job_id && self.restart_count > owner.restart_count)
        return true;
    if (owner.host != self.host) return false;
    // The kernel drops a lock with the process that held it.
    if (lock == KernelLock::held) return true;
    return ::kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == ESRCH;
}

[[noreturn]] void fail_held(const std::filesystem::path& file, const std::optional<LockOwner>& owner) {
    const std::string who =
        owner ? fmt::format("process {} on host {}{} has held it since {}", owner->pid, owner->host,
                            owner->job_id.empty() ? "" : " (job " + owner->job_id + ")", owner->started_utc)
              : "another process holds it";
    throw StoreError(file,
                     {.what = "this run folder is being written by somebody else",
                      .where = {},
                      .why = who,
                      .advice = "Wait for that process or stop it. If you are sure that it is gone, delete " +
                                file.string() + " and run again"});
}

[[noreturn]] void fail_system(const std::filesystem::path& file, const char* what) {
    throw StoreError(file, {.what = what,
                            .where = {},
                            .why = std::strerror(errno),
                            .advice = "Check that you may write to the run folder and that there is space"});
}

}  // namespace

FolderLock FolderLock::acquire(const std::filesystem::path& file, const std::string& job_id,
                               std::int32_t restart_count) {
    const LockOwner self{.host = host_name(),
                         .pid = ::getpid(),
                         .job_id = job_id,
                         .restart_count = restart_count,
                         .started_utc = utc_now()};
    for (;;) {
        const int made = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (made < 0 && errno != EEXIST) fail_system(file, "cannot take the lock of the run folder");
        const int descriptor = made >= 0 ? made : ::open(file.c_str(), O_RDWR | O_CLOEXEC);
        if (descriptor < 0 && errno == ENOENT) continue;  // removed in between
        if (descriptor < 0) fail_system(file, "cannot take the lock of the run folder");
        FolderLock lock({}, descriptor);
        const KernelLock kernel = take_kernel_lock(descriptor);
        const auto owner = read_owner(descriptor);
        if (kernel == KernelLock::somebody_else) fail_held(file, owner);
        // Its holder removed the file after it was opened here: there is a new one, or will be.
        if (!is_file_at(descriptor, file)) continue;
        const bool unknown = !owner && made < 0 && kernel == KernelLock::unsupported;
        if (unknown || (owner && !is_gone(*owner, self, kernel))) fail_held(file, owner);
        if (owner) {
            log::warning(
                fmt::format("{}: taken over from process {} on {}, which ended without giving it back",
                            file.string(), owner->pid, owner->host));
        }
        const std::string text = to_text(self);
        if (::ftruncate(descriptor, 0) != 0 ||
            ::pwrite(descriptor, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
            fail_system(file, "cannot write the lock of the run folder");
        }
        lock.file_ = file;
        return lock;
    }
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : file_(std::move(other.file_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
    if (this == &other) return *this;
    release();
    file_ = std::move(other.file_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    return *this;
}

FolderLock::~FolderLock() {
    release();
}

void FolderLock::release() noexcept {
    if (descriptor_ < 0) return;
    if (!file_.empty() && is_file_at(descriptor_, file_)) ::unlink(file_.c_str());
    ::close(std::exchange(descriptor_, -1));
}

std::optional<LockOwner> read_lock(const std::filesystem::path& file) {
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return std::nullopt;
    auto owner = read_owner(descriptor);
    ::close(descriptor);
    return owner;
}

}  // namespace memcap::store
