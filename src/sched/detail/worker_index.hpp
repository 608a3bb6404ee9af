// Workers by what is asked about them, so that no question has to look at all of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "memcap/sched/task.hpp"

namespace memcap::sched {

/// What the index knows of a worker.
struct Filing {
    bool absent = false;  ///< may still join and take tasks
    bool active = false;
    bool usable = false;
    bool lost = false;
    bool busy = false;      ///< active and holds tasks
    bool recalled = false;  ///< has been asked for tasks and has not answered
    double speed = 0.0;
    std::optional<std::uint64_t> affinity;  ///< where usable
    std::optional<double> hungry;           ///< the cost of what it holds over its speed, where it wants more
    bool idle = false;                      ///< hungry, with free slots and nothing to do
    std::uint32_t spare = 0;                ///< tasks that could be recalled
    bool operator==(const Filing&) const = default;
};

class WorkerIndex {
  public:
    void add(Rank rank, const Filing& worker) { count(rank, worker, 1); }
    void remove(Rank rank, const Filing& worker) { count(rank, worker, -1); }

    std::uint32_t absent() const { return absent_; }
    std::uint32_t active() const { return active_; }
    std::uint32_t usable() const { return usable_.count; }
    std::uint32_t lost() const { return lost_; }
    std::uint32_t busy() const { return busy_; }
    std::uint32_t recalled() const { return recalled_; }
    std::uint32_t idle() const { return idle_; }
    /// Of all usable workers.
    double speed() const { return usable_.speed; }
    /// Of the usable workers with this affinity.
    double speed(std::uint64_t affinity) const;
    /// Those that want tasks, by the cost of what they hold over their speed: the first may be idle.
    const std::set<std::pair<double, Rank>>& hungry() const { return hungry_; }
    /// By affinity: those with spare tasks, and how many.
    using Spare = std::set<std::pair<std::uint32_t, Rank>>;
    const std::map<std::optional<std::uint64_t>, Spare>& spare() const { return spare_; }

  private:
    struct Crowd {
        std::uint32_t count = 0;
        double speed = 0.0;
        void change(int by, double one_speed);
    };

    void count(Rank rank, const Filing& worker, int by);

    std::uint32_t absent_ = 0;
    std::uint32_t active_ = 0;
    std::uint32_t lost_ = 0;
    std::uint32_t busy_ = 0;
    std::uint32_t recalled_ = 0;
    std::uint32_t idle_ = 0;
    Crowd usable_;
    std::map<std::uint64_t, Crowd> crowds_;
    std::set<std::pair<double, Rank>> hungry_;
    std::map<std::optional<std::uint64_t>, Spare> spare_;
};

}  // namespace memcap::sched
