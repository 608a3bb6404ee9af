// Taking, keeping and losing the lock of a run folder.
#include "memcap/store/journal/folder_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "store/journal/detail/lock_file.hpp"
#include "store/journal/detail/lock_watch.hpp"
#include "store/journal/detail/utc_text.hpp"

namespace memcap::store {

namespace {

using detail::AskKernel;
using detail::LockFile;
using detail::LockWatch;
using detail::read_lock_file;

std::string stop_command(const LockOwner& owner) {
    if (!owner.job_id.empty()) return fmt::format("`memcap stop`, or scancel {}", owner.job_id);
    return fmt::format("`memcap stop`, or kill {} on {}", owner.pid, owner.host);
}

[[noreturn]] void fail_held(const std::filesystem::path& file, const std::optional<LockOwner>& owner,
                            const std::string& why, double silence_s) {
    ErrorText text{.what = "this run folder is being written by somebody else",
                   .where = {},
                   .why = owner ? fmt::format("{} has held it since {}", describe(*owner), owner->started_utc)
                                : "another process holds it",
                   .advice = {}};
    if (owner && owner->beating()) {
        text.why += fmt::format(", last sign of life {}: {}", owner->last_sign_utc(), why);
        text.advice = fmt::format(
            "This run does not wait. When that one has ended, run again; to end it: {}. If it dies, a run "
            "takes "
            "the folder over at once where it can see that, elsewhere after {:.0f} s without a sign of life",
            stop_command(*owner), silence_s);
    } else {
        text.why += ": " + why;
        text.advice = "Wait for that process or stop it. If you are sure that it is gone, delete " +
                      file.string() + " and run again";
    }
    throw StoreError(file, std::move(text));
}

[[noreturn]] void fail_lost(const std::filesystem::path& file, const std::optional<LockFile>& found) {
    const auto owner = found ? parse_owner(found->text) : std::nullopt;
    if (!owner) {
        throw StoreError(
            file, {.what = "this run does not hold its folder any more and stops",
                   .where = {},
                   .why = "somebody removed or damaged the lock file",
                   .advice = "Run again, unless another run has the folder: what was acknowledged is safe"});
    }
    throw StoreError(
        file,
        {.what = "another run has taken over the folder of this one, which stops",
         .where = {},
         .why = fmt::format("{} has held it since {}: this run gave no sign of life, or its lock was "
                            "removed",
                            describe(*owner), owner->started_utc),
         .advice =
             "Let that run go on: it has all that this one had recorded before, and computes the rest"});
}

[[noreturn]] void fail_system(const std::filesystem::path& file, const char* what, int error) {
    throw StoreError(file, {.what = what,
                            .where = {},
                            .why = std::strerror(error),
                            .advice = "Check that you may write to the run folder and that there is space"});
}

std::filesystem::path claim_of(const std::filesystem::path& file) {
    return file.string() + ".next";
}

/// An open file that is closed unless it is kept.
class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int number() const { return number_; }
    int keep() { return std::exchange(number_, -1); }

  private:
    int number_;
};

/// Writes the text that will be the lock's to the claim.
void fill_claim(int claim, LockOwner& self, KernelLocks kernel_locks) {
    struct stat facts {};
    if (::fstat(claim, &facts) == 0) self.device = facts.st_dev;
    self.kernel_lock = kernel_locks == KernelLocks::use && ::flock(claim, LOCK_EX | LOCK_NB) == 0;
    self.beats = 1;
    self.beat_utc = utc_now();
    const std::string text = to_text(self);
    const auto count = ::pwrite(claim, text.data(), text.size(), 0);
    if (count >= 0 && count != static_cast<ssize_t>(text.size())) errno = ENOSPC;
    // Without the sync, a power cut may leave an empty file under the lock's name.
    if (count != static_cast<ssize_t>(text.size()) || ::fsync(claim) != 0) {
        const int error = errno;
        throw std::system_error(error, std::generic_category());
    }
}

/// Puts a new lock in place of the one with the text `judged`, or where there is none. Newcomers exclude each
/// other by a second file, which is made only if it is not there and becomes the lock by its renaming.
/// Returns the open lock; nothing if somebody else was faster.
std::optional<int> replace_lock(const std::filesystem::path& file, const std::optional<LockFile>& judged,
                                LockOwner& self, KernelLocks kernel_locks) {
    const auto claim = claim_of(file);
    Descriptor opened(::open(claim.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (opened.number() < 0 && errno == EEXIST) return std::nullopt;
    if (opened.number() < 0) fail_system(file, "cannot take the lock of the run folder", errno);
    try {
        fill_claim(opened.number(), self, kernel_locks);
    } catch (const std::system_error& problem) {
        ::unlink(claim.c_str());
        fail_system(file, "cannot write the lock of the run folder", problem.code().value());
    }
    const auto now = read_lock_file(file, AskKernel::no);
    if (now.has_value() != judged.has_value() || (now && now->text != judged->text)) {
        ::unlink(claim.c_str());
        return std::nullopt;
    }
    const int error = ::rename(claim.c_str(), file.c_str()) == 0 ? 0 : errno;
    // Only the file's content tells: over a network a renaming may succeed and be reported as failed, and one
    // who took this process for dead may have put its own claim here.
    const auto placed = read_lock_file(file, AskKernel::no);
    if (placed && placed->text == to_text(self)) return opened.keep();
    if (error != 0 && error != ENOENT) {
        ::unlink(claim.c_str());
        fail_system(file, "cannot take the lock of the run folder", error);
    }
    return std::nullopt;
}

/// Removes a claim whose owner died between making and renaming it.
void clear_dead_claim(const std::filesystem::path& file, LockWatch& watch) {
    const auto claim = claim_of(file);
    const auto found = read_lock_file(claim, AskKernel::yes);
    if (found && watch.judge(*found).verdict == Verdict::take) ::unlink(claim.c_str());
}

void tell_wait(const std::filesystem::path& file, const std::optional<LockOwner>& owner, double left_s) {
    log::warning(
        fmt::format("{}: {} and may be dead: waiting up to {:.0f} s for a sign of life; if there is none, "
                    "this run takes the "
                    "folder over. A signal ends the wait",
                    file.string(),
                    owner ? fmt::format("{} holds this run folder (last sign of life {})", describe(*owner),
                                        owner->last_sign_utc())
                          : "an unknown process holds this run folder",
                    left_s));
}

void tell_taken(const std::filesystem::path& file, const std::optional<LockOwner>& owner,
                const std::string& why) {
    log::warning(fmt::format("{}: taken over from {}, {}", file.string(),
                             owner ? describe(*owner) : "an unknown process", why));
}

}  // namespace

FolderLock FolderLock::acquire(const std::filesystem::path& file, const LockRequest& request) {
    const AskKernel ask = request.kernel_locks == KernelLocks::use ? AskKernel::yes : AskKernel::no;
    LockWatch watch(request);
    LockWatch claims(request);
    bool told = false;
    for (;;) {
        const auto found = read_lock_file(file, ask);
        const auto owner = found ? parse_owner(found->text) : std::nullopt;
        LockJudgement judgement{.verdict = Verdict::take, .why = {}, .left_s = 0.0};
        if (found) judgement = watch.judge(*found);
        if (judgement.verdict == Verdict::held)
            fail_held(file, owner, judgement.why, request.times.silence_s);
        if (judgement.verdict == Verdict::wait) {
            if (!std::exchange(told, true)) tell_wait(file, owner, judgement.left_s);
            detail::pause(request, request.times.look_every_s);
            continue;
        }
        LockOwner self = request.self;
        self.generation = owner ? owner->generation + 1 : 1;
        if (const auto lock = replace_lock(file, found, self, request.kernel_locks)) {
            if (found) tell_taken(file, owner, judgement.why);
            return FolderLock(file, *lock, std::move(self), request.times);
        }
        clear_dead_claim(file, claims);
        detail::pause(request, request.times.claim_every_s);
    }
}

FolderLock::FolderLock(std::filesystem::path file, int descriptor, LockOwner self, const LockTimes& times)
    : file_(std::move(file)),
      descriptor_(descriptor),
      self_(std::move(self)),
      times_(times),
      beat_offset_bytes_(to_text(self_).find(beat_line(self_))),
      next_beat_s_(monotonic_s() + times.beat_every_s),
      next_check_s_(monotonic_s() + times.check_every_s) {}

FolderLock::FolderLock(FolderLock&& other) noexcept {
    *this = std::move(other);
}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
    if (this == &other) return *this;
    release();
    file_ = std::move(other.file_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    self_ = std::move(other.self_);
    times_ = other.times_;
    beat_offset_bytes_ = other.beat_offset_bytes_;
    next_beat_s_ = other.next_beat_s_;
    next_check_s_ = other.next_check_s_;
    return *this;
}

FolderLock::~FolderLock() {
    release();
}

void FolderLock::beat(double now_s) {
    if (descriptor_ < 0 || now_s < next_beat_s_) return;
    expect_held();
    renew();
    next_beat_s_ = now_s + times_.beat_every_s;
}

void FolderLock::renew() {
    ++self_.beats;
    self_.beat_utc = utc_now();
    const std::string line = beat_line(self_);
    // What a failure leads to is another run that takes over, which expect_held() notices.
    if (::pwrite(descriptor_, line.data(), line.size(), static_cast<off_t>(beat_offset_bytes_)) !=
        static_cast<ssize_t>(line.size())) {
        log::warning(fmt::format("{}: the heartbeat of this run could not be written ({})", file_.string(),
                                 std::strerror(errno)));
    }
}

void FolderLock::expect_held(double now_s) {
    if (now_s >= next_check_s_) expect_held();
}

void FolderLock::expect_held() {
    if (descriptor_ < 0) return;
    const auto found = read_lock_file(file_, AskKernel::no);
    const auto owner = found ? parse_owner(found->text) : std::nullopt;
    if (!owner || owner->token != self_.token) fail_lost(file_, found);
    next_check_s_ = monotonic_s() + times_.check_every_s;
}

void FolderLock::release() noexcept {
    if (descriptor_ < 0) return;
    const auto owner = read_lock(file_);
    if (owner && owner->token == self_.token) ::unlink(file_.c_str());
    ::close(std::exchange(descriptor_, -1));
}

std::optional<LockOwner> read_lock(const std::filesystem::path& file) {
    try {
        const auto found = read_lock_file(file, AskKernel::no);
        return found ? parse_owner(found->text) : std::nullopt;
    } catch (const StoreError&) {
        return std::nullopt;
    }
}

OwnerLook look_at_owner(const std::filesystem::path& file, const LockRequest& request) {
    OwnerLook look{.owner = read_lock(file), .life = OwnerLife::none};
    if (!look.owner) return look;
    look.life = OwnerLife::alive;
    const LockOwner& owner = *look.owner;
    const bool old_here = !owner.beating() && owner.host == request.self.host;
    if (share_processes(owner, request.self) || old_here) {
        if (detail::look_at_process(owner) == ProcessSight::dead) look.life = OwnerLife::dead;
        return look;
    }
    const auto age_s = detail::seconds_of(utc_now()) - detail::seconds_of(owner.last_sign_utc());
    if (!owner.beating() || static_cast<double>(age_s) <= request.times.silence_s) return look;
    look.life = OwnerLife::silent;
    if (!owner.job_id.empty() && share_jobs(owner, request.self) &&
        request.ask_job(owner.job_id) == JobSight::gone)
        look.life = OwnerLife::dead;
    return look;
}

}  // namespace memcap::store
