// A flag under a condition variable.
#include "sched/detail/doorbell.hpp"

#include <algorithm>
#include <chrono>

namespace memcap::sched {

void Doorbell::ring() {
    {
        const std::lock_guard lock(mutex_);
        rung_ = true;
    }
    changed_.notify_one();
}

void Doorbell::wait(double seconds) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return rung_; });
    rung_ = false;
}

double PollPause::after(bool busy) {
    pause_s_ = busy ? min_s_ : std::min(2.0 * pause_s_, max_s_);
    return pause_s_;
}

}  // namespace memcap::sched
