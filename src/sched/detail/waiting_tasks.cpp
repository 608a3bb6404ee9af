// Ordered sets, one an affinity and one for tasks that must be alone.
#include "sched/detail/waiting_tasks.hpp"

#include "memcap/base/contracts.hpp"

namespace memcap::sched {

namespace {

std::tuple<std::uint32_t, double, std::uint32_t> place(const WaitingKey& key) {
    return {key.strikes, -key.cost, key.task.value};
}

std::optional<TaskIndex> first_of(const WaitingTasks::Queue& queue) {
    if (queue.tasks.empty()) return std::nullopt;
    return TaskIndex{std::get<2>(*queue.tasks.begin())};
}

}  // namespace

void WaitingTasks::add(const WaitingKey& key) {
    Queue& queue = key.alone ? alone_ : queues_[key.affinity];
    MEMCAP_EXPECT(queue.tasks.insert(place(key)).second);
    queue.cost += key.cost;
    ++size_;
}

void WaitingTasks::remove(const WaitingKey& key) {
    Queue& queue = key.alone ? alone_ : queues_[key.affinity];
    MEMCAP_EXPECT(queue.tasks.erase(place(key)) == 1);
    queue.cost -= key.cost;
    --size_;
    // Sums of floating-point costs drift; an empty queue is the moment to forget that.
    if (queue.tasks.empty()) queue.cost = 0.0;
    if (!key.alone && queue.tasks.empty()) queues_.erase(key.affinity);
}

double WaitingTasks::cost() const {
    double sum = alone_.cost;
    for (const auto& [affinity, queue] : queues_) sum += queue.cost;
    return sum;
}

std::optional<TaskIndex> WaitingTasks::first(std::uint64_t affinity) const {
    const auto queue = queues_.find(affinity);
    return queue == queues_.end() ? std::nullopt : first_of(queue->second);
}

std::optional<TaskIndex> WaitingTasks::first_alone() const {
    return first_of(alone_);
}

bool WaitingTasks::contains(const WaitingKey& key) const {
    if (key.alone) return alone_.tasks.contains(place(key));
    const auto queue = queues_.find(key.affinity);
    return queue != queues_.end() && queue->second.tasks.contains(place(key));
}

}  // namespace memcap::sched
