// Ordered sets, one an affinity, apart for tasks that must be alone.
#include "sched/detail/waiting_tasks.hpp"

#include "memcap/base/contracts.hpp"

namespace memcap::sched {

namespace {

std::tuple<std::uint32_t, double, std::uint32_t> place(const WaitingKey& key) {
    return {key.strikes, -key.cost, key.task.value};
}

}  // namespace

void WaitingTasks::add(const WaitingKey& key) {
    Queue& queue = (key.alone ? alone_ : sharing_)[key.affinity];
    MEMCAP_EXPECT(queue.tasks.insert(place(key)).second);
    queue.cost += key.cost;
    ++size_;
}

void WaitingTasks::remove(const WaitingKey& key) {
    Queues& queues = key.alone ? alone_ : sharing_;
    const auto queue = queues.find(key.affinity);
    MEMCAP_EXPECT(queue != queues.end() && queue->second.tasks.erase(place(key)) == 1);
    queue->second.cost -= key.cost;
    --size_;
    // Sums of floating-point costs drift; an empty queue takes its error with it.
    if (queue->second.tasks.empty()) queues.erase(queue);
}

double WaitingTasks::cost() const {
    double sum = 0.0;
    for (const Queues* queues : {&sharing_, &alone_}) {
        for (const auto& [affinity, queue] : *queues) sum += queue.cost;
    }
    return sum;
}

bool WaitingTasks::contains(const WaitingKey& key) const {
    const Queues& queues = key.alone ? alone_ : sharing_;
    const auto queue = queues.find(key.affinity);
    return queue != queues.end() && queue->second.tasks.contains(place(key));
}

}  // namespace memcap::sched
