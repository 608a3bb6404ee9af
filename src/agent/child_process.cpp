// posix_spawn, which copies no page tables: memory that a network card has registered stays this process's.
#include "memcap/agent/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "agent/wire.hpp"
#include "memcap/agent/compute_link.hpp"
#include "memcap/base/errors.hpp"

namespace memcap::agent {

namespace {

[[noreturn]] void fail(const std::string& program, int code) {
    throw ToolError(
        {.what = "the compute process of this rank cannot be started",
         .where = program,
         .why = std::strerror(code),
         .advice = "Check the limits of processes and of memory (ulimit -u, ulimit -v) of this host"});
}

std::string text_of(int status) {
    if (WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        const char* name = ::sigabbrev_np(signal);
        const std::string killed = fmt::format("killed by SIG{}", name == nullptr ? "?" : name);
        return signal == SIGKILL ? killed + ", as hosts short of memory do" : killed;
    }
    return fmt::format("ended with status {}", WEXITSTATUS(status));
}

/// Another descriptor for the same file above ComputeLink::kDescriptor, closed in other processes.
int raised(int descriptor) {
    const int other = ::fcntl(descriptor, F_DUPFD_CLOEXEC, ComputeLink::kDescriptor + 1);
    ::close(descriptor);
    return other;
}

/// A connected pair; the parent's end first.
std::optional<std::array<int, 2>> socket_ends() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return std::nullopt;
    for (int& end : ends) end = raised(end);
    return ends;
}

/// Waits until all is on its way, or the other end is gone.
void flush(Wire& wire) {
    constexpr double kGlance_s = 1.0;
    for (wire.step(); wire.unsent() > 0 && !wire.closed(); wire.step()) wire.wait(kGlance_s);
}

}  // namespace

Command this_program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "memcap");
    return {.program = "/proc/self/exe", .arguments = std::move(arguments)};
}

ChildProcess::ChildProcess(const Command& command) {
    const auto ends = socket_ends();
    if (!ends) fail(command.program, errno);
    wire_ = std::make_unique<Wire>((*ends)[0]);
    const int theirs = (*ends)[1];
    std::vector<char*> arguments;
    for (const auto& argument : command.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, theirs, ComputeLink::kDescriptor);
    const int code =
        ::posix_spawn(&pid_, command.program.c_str(), &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(theirs);
    if (code != 0) {
        pid_ = -1;
        fail(command.program, code);
    }
}

std::unique_ptr<ChildProcess> ChildProcess::copy(const std::function<int()>& work) {
    const auto ends = socket_ends();
    if (!ends) return nullptr;
    std::unique_ptr<ChildProcess> child(new ChildProcess());
    child->wire_ = std::make_unique<Wire>((*ends)[0]);
    child->pid_ = ::fork();
    if (child->pid_ == 0) {
        ::dup2((*ends)[1], ComputeLink::kDescriptor);
        const int status = work();
        std::fflush(nullptr);
        std::_Exit(status);
    }
    ::close((*ends)[1]);
    return child->pid_ > 0 ? std::move(child) : nullptr;
}

ChildProcess::~ChildProcess() {
    if (pid_ < 0 || ending()) return;
    kill();
    // One that the kernel cannot end now (a device or file system that hangs) ends when it can, by itself.
    constexpr int kGlances = 100;
    for (int glance = 0; glance < kGlances && !ending(); ++glance) ::usleep(10'000);
}

void ChildProcess::kill() noexcept {
    if (pid_ > 0 && !ending_) ::kill(pid_, SIGKILL);
}

std::optional<std::string> ChildProcess::ending() {
    if (ending_ || pid_ < 0) return ending_;
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == pid_) ending_ = text_of(status);
    if (ended < 0 && errno == ECHILD) ending_ = "ended, and how was not told";
    return ending_;
}

void ChildProcess::wait(double timeout_s) const {
    // The socket of a process that ends is closed a moment before it can be waited for.
    constexpr double kMoment_s = 1e-3;
    wire_->wait(wire_->closed() ? kMoment_s : timeout_s);
}

std::optional<Bytes> ChildProcess::word() {
    while (wire_->step()) {
    }
    auto parcel = wire_->take(Channel::word);
    return parcel ? std::optional(std::move(parcel->bytes)) : std::nullopt;
}

void become_child_process(const char* name) {
    ::prctl(PR_SET_NAME, name);
    // Asked for after the fork, so the parent may be gone already.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ, SIGXCPU})
        std::signal(signal, SIG_IGN);
#ifdef SYS_close_range
    ::syscall(SYS_close_range, ComputeLink::kDescriptor + 1, ~0U, 0);
#endif
}

void ChildProcess::tell(Bytes bytes) {
    wire_->send(Channel::word, 0, std::move(bytes));
    flush(*wire_);
}

void tell_parent(Bytes bytes) {
    Wire wire(ComputeLink::kDescriptor);
    wire.send(Channel::word, 0, std::move(bytes));
    flush(wire);
}

std::optional<Bytes> parents_word() {
    constexpr double kGlance_s = 60.0;
    // The descriptor stays open for the answer.
    Wire wire(::dup(ComputeLink::kDescriptor));
    while (!wire.closed()) {
        wire.step();
        if (auto parcel = wire.take(Channel::word)) return std::move(parcel->bytes);
        wire.wait(kGlance_s);
    }
    return std::nullopt;
}

}  // namespace memcap::agent
