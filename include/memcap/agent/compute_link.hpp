// The compute process's end: what it is told about itself, and its transports, all through its agent.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "memcap/base/bytes.hpp"
#include "memcap/sched/transport.hpp"

namespace memcap::agent {

class Wire;

/// When the computing thread will give its next sign of life. A thread that is silent for longer hangs. Safe
/// from any thread.
class Life {
  public:
    Life();
    /// The next call comes within so many seconds.
    void sign(double within_s) noexcept;
    /// Waiting for work: no sign is due.
    void rest() noexcept;
    /// The process was stopped for so long: the next sign is due later.
    void postpone(double seconds) noexcept;
    /// For how long a sign is overdue; negative: it is not.
    double overdue_s() const noexcept;
    /// Has the process end and a new one start in its place: this one has lost its device. Does not return.
    [[noreturn]] void end_process(std::string reason);
    /// Why the process is to end; empty: it is not.
    std::string ending() const;

  private:
    std::atomic<double> due_s_;
    mutable std::mutex mutex_;
    std::string ending_;
};

/// The socket to the agent. All but the constructor and destructor is for the thread that polls.
class ComputeLink {
  public:
    /// The descriptor that an agent leaves to the process it starts.
    static constexpr int kDescriptor = 3;

    /// Takes the descriptor over and waits for the agent's first word. Throws TransportError if there is no
    /// agent behind it.
    explicit ComputeLink(int descriptor = kDescriptor);
    ~ComputeLink();
    ComputeLink(const ComputeLink&) = delete;
    ComputeLink& operator=(const ComputeLink&) = delete;

    /// What the agent was given for its compute processes.
    const Bytes& place() const noexcept { return place_; }
    /// The transports of this rank among `ranks`; the link must outlive them.
    std::unique_ptr<sched::Transport> scheduler_transport(sched::Rank rank, sched::Rank ranks);
    std::unique_ptr<sched::Transport> exchange_transport(sched::Rank rank, sched::Rank ranks);
    /// Tells the agent now and then that this process polls. Ends it at once, without destructors, where it
    /// is to end, or where a sign of life is overdue: the computing thread cannot be asked any more. The
    /// agent is told why.
    void require_alive(Life& life);

  private:
    std::unique_ptr<Wire> wire_;
    Bytes place_;
    double told_s_ = 0.0;
    double polled_s_;  ///< when require_alive() was called last
};

}  // namespace memcap::agent
