// The tasks that wait: by affinity, in the order in which they are to be handed out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "memcap/sched/task.hpp"

namespace memcap::sched {

/// Where a task stands among its like: few strikes first, then dear ones, then the order of the list.
struct WaitingKey {
    std::uint64_t affinity = 0;
    std::uint32_t strikes = 0;
    double cost = 1.0;
    TaskIndex task;
    bool alone = false;  ///< must be the only task of its worker
};

class WaitingTasks {
  public:
    void add(const WaitingKey& key);
    void remove(const WaitingKey& key);

    bool empty() const { return size_ == 0; }
    std::size_t size() const { return size_; }
    double cost() const;
    /// The next task of an affinity that may share a worker; none if there is none.
    std::optional<TaskIndex> first(std::uint64_t affinity) const;
    /// The next task that must be alone.
    std::optional<TaskIndex> first_alone() const;
    /// Affinities with tasks that may share a worker, and the cost of these.
    struct Queue {
        std::set<std::tuple<std::uint32_t, double, std::uint32_t>> tasks;
        double cost = 0.0;
    };
    const std::map<std::uint64_t, Queue>& queues() const { return queues_; }
    bool contains(const WaitingKey& key) const;

  private:
    std::map<std::uint64_t, Queue> queues_;
    Queue alone_;
    std::size_t size_ = 0;
};

}  // namespace memcap::sched
