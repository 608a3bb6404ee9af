// A process that an agent has started, and the wire to it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memcap/base/bytes.hpp"

namespace memcap::agent {

class Wire;

/// What to start.
struct Command {
    std::string program;                 ///< path of the executable
    std::vector<std::string> arguments;  ///< the first one is the name that it is called by
};

/// This program again, even where its file has been replaced meanwhile; `arguments` begin behind its name.
Command this_program(std::vector<std::string> arguments);

class ChildProcess {
  public:
    /// Starts a command with a socket to this process as its descriptor ComputeLink::kDescriptor. Throws
    /// ToolError if it cannot be started.
    explicit ChildProcess(const Command& command);
    /// A copy of this process as it is now, which costs no loading: it runs `work` and exits with what that
    /// returns. Only for a process of one thread that has not called MPI. Null if it cannot be made.
    static std::unique_ptr<ChildProcess> copy(const std::function<int()>& work);
    /// Kills it if it still runs.
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    Wire& wire() noexcept { return *wire_; }
    /// Sleeps up to `timeout_s`, or until it says something or ends.
    void wait(double timeout_s) const;
    int pid() const noexcept { return pid_; }
    void kill() noexcept;
    /// What it has said by tell_parent(), once; none if nothing has come.
    std::optional<Bytes> word();
    /// Says something to a process that waits in parents_word().
    void tell(Bytes bytes);
    /// How it ended, e.g. "killed by SIGSEGV" or "ended with status 1"; none while it runs.
    std::optional<std::string> ending();

  private:
    ChildProcess() = default;

    int pid_ = -1;
    std::optional<std::string> ending_;
    std::unique_ptr<Wire> wire_;
};

/// Makes this process one that ends with its parent and by its word alone: signals that launchers and
/// terminals send to all processes of a rank are the parent's, and descriptors above the one of the wire are
/// closed. `name` is what top and ps -e show.
void become_child_process(const char* name);

/// Says something to the process that started this one; waits until it is on its way.
void tell_parent(Bytes bytes);
/// Waits for what ChildProcess::tell() says; none if the parent is gone.
std::optional<Bytes> parents_word();

}  // namespace memcap::agent
