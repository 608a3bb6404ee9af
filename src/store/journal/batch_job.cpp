// Asking squeue, with a limit on how long it may take.
#include "memcap/store/journal/batch_job.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "memcap/base/clock.hpp"

extern char** environ;

namespace memcap::store {

namespace {

/// The ends of a pipe.
struct Pipe {
    int read = -1;
    int write = -1;

    Pipe() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
        read = ends[0];
        write = ends[1];
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        close(read);
        close(write);
    }
    static void close(int& end) {
        if (end >= 0) ::close(std::exchange(end, -1));
    }
};

struct Answer {
    int status = 0;
    std::string output;
    std::string complaint;
};

/// Reads both until both end; false if that takes too long.
bool read_both(Pipe& output, Pipe& complaint, Answer& answer, double end_s) {
    std::array<char, 4096> bytes;
    while (output.read >= 0 || complaint.read >= 0) {
        const double left_s = end_s - monotonic_s();
        if (left_s <= 0.0) return false;
        std::array<pollfd, 2> ends{{{output.read, POLLIN, 0}, {complaint.read, POLLIN, 0}}};
        if (::poll(ends.data(), ends.size(), static_cast<int>(left_s * 1e3) + 1) < 0 && errno != EINTR)
            return false;
        for (auto* pipe : {&output, &complaint}) {
            const bool is_output = pipe == &output;
            if (pipe->read < 0 || ends[is_output ? 0 : 1].revents == 0) continue;
            const auto count = ::read(pipe->read, bytes.data(), bytes.size());
            if (count <= 0) {
                Pipe::close(pipe->read);
            } else {
                (is_output ? answer.output : answer.complaint)
                    .append(bytes.data(), static_cast<std::size_t>(count));
            }
        }
    }
    return true;
}

/// Starts squeue; nothing if there is none.
std::optional<pid_t> start(const std::string& job_id, const Pipe& output, const Pipe& complaint) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output.write, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, complaint.write, STDERR_FILENO);
    std::array<std::string, 6> words{"squeue", "-h", "-j", job_id, "-o", "%T"};
    std::array<char*, 7> arguments{};
    std::transform(words.begin(), words.end(), arguments.begin(),
                   [](std::string& word) { return word.data(); });
    pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, words[0].c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 ? std::optional(pid) : std::nullopt;
}

bool is_job_number(const std::string& job_id) {
    return !job_id.empty() && std::ranges::all_of(job_id, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_over(std::string_view state) {
    constexpr std::array<std::string_view, 9> kOver{"COMPLETED", "FAILED",    "CANCELLED",
                                                    "TIMEOUT",   "NODE_FAIL", "OUT_OF_MEMORY",
                                                    "PREEMPTED", "BOOT_FAIL", "DEADLINE"};
    return std::ranges::find(kOver, state) != kOver.end();
}

}  // namespace

JobSight job_sight(int status, const std::string& states, const std::string& complaint) {
    if (!WIFEXITED(status)) return JobSight::unknown;
    if (WEXITSTATUS(status) != 0) {
        const bool forgotten = complaint.find("Invalid job id specified") != std::string::npos;
        return forgotten ? JobSight::gone : JobSight::unknown;
    }
    // squeue lists jobs that are not over, and says nothing of one that is.
    std::istringstream lines(states);
    for (std::string state; lines >> state;) {
        if (!is_over(state)) return JobSight::alive;
    }
    return complaint.empty() ? JobSight::gone : JobSight::unknown;
}

JobSight ask_slurm(const std::string& job_id, double timeout_s) {
    if (!is_job_number(job_id)) return JobSight::unknown;
    Pipe output;
    Pipe complaint;
    if (output.read < 0 || complaint.read < 0) return JobSight::unknown;
    const auto pid = start(job_id, output, complaint);
    if (!pid) return JobSight::unknown;
    Pipe::close(output.write);
    Pipe::close(complaint.write);
    Answer answer;
    const bool answered = read_both(output, complaint, answer, monotonic_s() + timeout_s);
    if (!answered) ::kill(*pid, SIGKILL);
    while (::waitpid(*pid, &answer.status, 0) < 0) {
        if (errno != EINTR) return JobSight::unknown;
    }
    return answered ? job_sight(answer.status, answer.output, answer.complaint) : JobSight::unknown;
}

}  // namespace memcap::store
