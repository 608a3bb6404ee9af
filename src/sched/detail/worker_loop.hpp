// A worker at work: its state, the thread that computes, and one end of a transport.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "memcap/sched/worker.hpp"
#include "sched/detail/doorbell.hpp"

namespace memcap::sched {

class LockedWorker;

/// Driven by calls of step() from the thread that owns the transport.
class WorkerLoop {
  public:
    WorkerLoop(Transport& transport, const WorkerFacts& facts, ExecutorFactory make_executor,
               const std::atomic<bool>& stop, Doorbell& bell);
    /// Closes the port and waits for the executor.
    ~WorkerLoop();
    WorkerLoop(const WorkerLoop&) = delete;
    WorkerLoop& operator=(const WorkerLoop&) = delete;

    /// Receives, computes nothing, sends; true if there was something to do.
    bool step(double now_s);
    /// The worker has said goodbye, or has nobody to say it to.
    bool ended() const { return ended_; }
    /// Waits for the executor; call after the end.
    WorkerOutcome outcome();
    /// The manager's options, once it has said welcome.
    Options options() const;

  private:
    void compute();

    Transport& transport_;
    ExecutorFactory make_executor_;
    const std::atomic<bool>& stop_;
    std::unique_ptr<LockedWorker> worker_;
    std::thread thread_;
    bool manager_lost_ = false;
    bool ended_ = false;
};

}  // namespace memcap::sched
