// A process that an agent has started, and the wire to it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

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
    /// Kills it if it still runs.
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    Wire& wire() noexcept { return *wire_; }
    int pid() const noexcept { return pid_; }
    void kill() noexcept;
    /// How it ended, e.g. "killed by SIGSEGV" or "ended with status 1"; none while it runs.
    std::optional<std::string> ending();

  private:
    int pid_ = -1;
    std::optional<std::string> ending_;
    std::unique_ptr<Wire> wire_;
};

/// Makes this process one that ends with its parent and by its word alone: signals that launchers and
/// terminals send to all processes of a rank are the parent's, and descriptors above the one of the wire are
/// closed. `name` is what top and ps -e show.
void become_child_process(const char* name);

}  // namespace memcap::agent
