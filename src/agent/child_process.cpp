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

}  // namespace

Command this_program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "memcap");
    return {.program = "/proc/self/exe", .arguments = std::move(arguments)};
}

ChildProcess::ChildProcess(const Command& command) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail(command.program, errno);
    wire_ = std::make_unique<Wire>(raised(ends[0]));
    const int theirs = raised(ends[1]);
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

}  // namespace memcap::agent
