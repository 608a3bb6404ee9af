// A process that an agent has started, and the wire to it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/wire.hpp"

namespace memcap::agent {

class ChildProcess {
  public:
    /// Starts a command with a socket to this process as its descriptor ComputeLink::kDescriptor. Throws
    /// ToolError if it cannot be started.
    explicit ChildProcess(const std::vector<std::string>& command);
    /// Kills it if it still runs.
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    Wire& wire() noexcept { return *wire_; }
    pid_t pid() const noexcept { return pid_; }
    void kill() noexcept;
    /// How it ended, e.g. "killed by SIGSEGV" or "ended with status 1"; none while it runs.
    std::optional<std::string> ending();

  private:
    pid_t pid_ = -1;
    std::optional<std::string> ending_;
    std::unique_ptr<Wire> wire_;
};

}  // namespace memcap::agent
