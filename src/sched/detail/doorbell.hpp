// Wakes the polling thread before its sleep is over.
#pragma once

#include <condition_variable>
#include <mutex>

namespace memcap::sched {

class Doorbell {
  public:
    void ring();
    /// Sleeps up to `seconds`, or not at all if the bell has rung since the last wait.
    void wait(double seconds);

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool rung_ = false;
};

/// How long to sleep between polls: short while messages come, doubling up to a bound while none do.
class PollPause {
  public:
    PollPause(double min_s, double max_s) : min_s_(min_s), max_s_(max_s), pause_s_(min_s) {}
    /// The pause after a poll that found something (`busy`) or nothing.
    double after(bool busy);

  private:
    double min_s_;
    double max_s_;
    double pause_s_;
};

}  // namespace memcap::sched
