// POSIX process and socket calls of the tokenizer helper's client. A socket pair in place of pipes, since
// only sockets can be written to without the risk of SIGPIPE.
#include "text/detail/helper_process.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"

namespace memcap::text::detail {

namespace {

constexpr std::size_t kLargestAnswer = std::size_t{256} << 20;
constexpr const char* kPythonAdvice =
    "Run ./quickstart, which makes the environment, or set run.python to a Python that has transformers";

std::string command_line(const HelperCommand& command) {
    return command.python.string() + " " + command.script.string();
}

[[noreturn]] void fail_to_start(const HelperCommand& command, int error) {
    throw ToolError({.what = "the tokenizer helper cannot be started",
                     .where = command_line(command),
                     .why = std::strerror(error),
                     .advice = kPythonAdvice});
}

/// The attributes and file actions of the start, freed at the end.
class SpawnPlan {
  public:
    SpawnPlan(int conversation, int messages) {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_adddup2(&actions_, conversation, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, conversation, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, messages, STDERR_FILENO);
        // A group of its own: Ctrl-C in the terminal is for memcap, which then ends the helper in order.
        sigset_t none;
        sigset_t all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_init(&attributes_);
        posix_spawnattr_setpgroup(&attributes_, 0);
        posix_spawnattr_setsigmask(&attributes_, &none);
        posix_spawnattr_setsigdefault(&attributes_, &all);
        posix_spawnattr_setflags(&attributes_,
                                 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
    ~SpawnPlan() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }

    pid_t start(const HelperCommand& command) const {
        std::string python = command.python.string();
        std::string script = command.script.string();
        std::array<char*, 3> arguments{python.data(), script.data(), nullptr};
        pid_t pid = -1;
        const int error =
            posix_spawn(&pid, python.c_str(), &actions_, &attributes_, arguments.data(), environ);
        if (error != 0) fail_to_start(command, error);
        return pid;
    }

  private:
    posix_spawn_file_actions_t actions_;
    posix_spawnattr_t attributes_;
};

std::string describe_end(std::optional<int> status) {
    if (!status) return "it closed its connection";
    if (WIFSIGNALED(*status)) return fmt::format("killed by signal {}", WTERMSIG(*status));
    return fmt::format("exit status {}", WEXITSTATUS(*status));
}

}  // namespace

Descriptor::~Descriptor() {
    if (number_ >= 0) ::close(number_);
}

HelperProcess::HelperProcess(const HelperCommand& command, double finish_s)
    : command_(command), finish_s_(finish_s) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail_to_start(command, errno);
    socket_ = Descriptor(ends[0]);
    const Descriptor conversation(ends[1]);
    messages_ = Descriptor(::memfd_create("memcap-helper-messages", MFD_CLOEXEC));
    if (messages_.number() < 0) fail_to_start(command, errno);
    pid_ = SpawnPlan(conversation.number(), messages_.number()).start(command);
}

HelperProcess::~HelperProcess() {
    ::shutdown(socket_.number(), SHUT_RDWR);
    const bool ended = wait_for_end(finish_s_);
    // Children of a wrapper script may outlive it, so the group is killed in either case.
    ::kill(-pid_, SIGKILL);
    if (!ended) ::waitpid(pid_, nullptr, 0);
}

std::string HelperProcess::exchange(std::string_view line, double deadline_s) {
    std::string unsent(line);
    unsent += '\n';
    std::string_view rest = unsent;
    std::string answer;
    const double end_s = monotonic_s() + deadline_s;
    while (!take_line(answer)) {
        const double left_s = end_s - monotonic_s();
        if (left_s <= 0) fail_silent(deadline_s);
        pollfd waiting{.fd = socket_.number(),
                       .events = static_cast<short>(rest.empty() ? POLLIN : POLLIN | POLLOUT),
                       .revents = 0};
        // One second at most, so that the deadline never overflows poll's milliseconds.
        if (::poll(&waiting, 1, 1 + static_cast<int>(std::min(left_s, 1.0) * 1000)) <= 0) continue;
        if ((waiting.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            receive_some();
        } else if ((waiting.revents & POLLOUT) != 0) {
            rest.remove_prefix(send_some(rest));
        }
    }
    return answer;
}

std::string HelperProcess::last_messages() const {
    constexpr off_t kShown = 1000;
    struct stat facts {};
    if (::fstat(messages_.number(), &facts) != 0) return {};
    std::string tail(static_cast<std::size_t>(std::min(facts.st_size, kShown)), '\0');
    const auto offset = facts.st_size - static_cast<off_t>(tail.size());
    const auto count = ::pread(messages_.number(), tail.data(), tail.size(), offset);
    tail.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    if (offset > 0) tail.erase(0, tail.find('\n') + 1);
    while (tail.ends_with('\n')) tail.pop_back();
    return tail;
}

bool HelperProcess::take_line(std::string& line) {
    const std::size_t end = received_.find('\n', searched_);
    searched_ = received_.size();
    if (end == std::string::npos) return false;
    line = received_.substr(0, end);
    received_.erase(0, end + 1);
    searched_ = 0;
    return true;
}

std::size_t HelperProcess::send_some(std::string_view rest) {
    const auto count = ::send(socket_.number(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno == EAGAIN || errno == EINTR) return 0;
    fail_ended();
}

void HelperProcess::receive_some() {
    std::array<char, 65536> block;
    const auto count = ::recv(socket_.number(), block.data(), block.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) fail_ended();
    received_.append(block.data(), static_cast<std::size_t>(count));
    if (received_.size() > kLargestAnswer) {
        throw ToolError({.what = "the tokenizer helper sent 256 MiB without an end of line",
                         .where = command_line(command_),
                         .why = "this is not the helper of memcap, or the corpus is too large for it",
                         .advice = kPythonAdvice});
    }
}

bool HelperProcess::wait_for_end(double deadline_s) {
    const double end_s = monotonic_s() + deadline_s;
    while (!status_) {
        int status = 0;
        const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
        if (ended == pid_) status_ = status;
        if (ended < 0 && errno == ECHILD)
            status_ = 0;  // the program ignores SIGCHLD: there is no status to be had
        if (status_ || monotonic_s() >= end_s) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return status_.has_value();
}

void HelperProcess::fail_ended() {
    wait_for_end(1.0);
    throw ToolError({.what = "the tokenizer helper ended before it answered",
                     .where = command_line(command_),
                     .why = why(describe_end(status_)),
                     .advice = kPythonAdvice});
}

void HelperProcess::fail_silent(double deadline_s) {
    throw ToolError(
        {.what = fmt::format("the tokenizer helper did not answer within {:g} s", deadline_s),
         .where = command_line(command_),
         .why = why("it is still running"),
         .advice = "Try it by hand; on a slow file system move the Python environment to a local disk"});
}

std::string HelperProcess::why(std::string cause) const {
    const auto messages = last_messages();
    return messages.empty() ? cause : fmt::format("{}; its last messages:\n{}\n", cause, messages);
}

}  // namespace memcap::text::detail
