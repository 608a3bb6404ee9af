// The tasks that wait: by affinity, in the order in which they are to be handed out.
#pragma once

#include <cstdint>
#include <map>
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
    /// Tasks of one affinity and their cost.
    struct Queue {
        std::set<std::tuple<std::uint32_t, double, std::uint32_t>> tasks;
        double cost = 0.0;
        TaskIndex first() const { return TaskIndex{std::get<2>(*tasks.begin())}; }
    };
    using Queues = std::map<std::uint64_t, Queue>;  ///< none of them empty

    void add(const WaitingKey& key);
    void remove(const WaitingKey& key);

    bool empty() const { return size_ == 0; }
    std::size_t size() const { return size_; }
    double cost() const;
    /// Tasks that may share a worker.
    const Queues& sharing() const { return sharing_; }
    /// Tasks that must be alone.
    const Queues& alone() const { return alone_; }
    bool contains(const WaitingKey& key) const;

  private:
    Queues sharing_;
    Queues alone_;
    std::size_t size_ = 0;
};

}  // namespace memcap::sched
