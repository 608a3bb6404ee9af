// Adding and removing are one function, so that they cannot disagree.
#include "sched/detail/worker_index.hpp"

#include "memcap/base/contracts.hpp"

namespace memcap::sched {

namespace {

template <class Set, class Value>
void change(Set& set, const Value& value, int by) {
    const bool changed = by > 0 ? set.insert(value).second : set.erase(value) == 1;
    MEMCAP_EXPECT(changed);
}

}  // namespace

void WorkerIndex::Crowd::change(int by, double one_speed) {
    count += static_cast<std::uint32_t>(by);
    // Sums of floating-point speeds drift; nobody left is the moment to forget that.
    speed = count == 0 ? 0.0 : speed + by * one_speed;
}

double WorkerIndex::speed(std::uint64_t affinity) const {
    const auto crowd = crowds_.find(affinity);
    return crowd == crowds_.end() ? 0.0 : crowd->second.speed;
}

void WorkerIndex::count(Rank rank, const Filing& worker, int by) {
    const auto add = [by](std::uint32_t& counter, bool counts) {
        if (counts) counter += static_cast<std::uint32_t>(by);
    };
    add(absent_, worker.absent);
    add(active_, worker.active);
    add(lost_, worker.lost);
    add(busy_, worker.busy);
    add(recalled_, worker.recalled);
    add(idle_, worker.idle);
    if (worker.usable) usable_.change(by, worker.speed);
    if (worker.affinity && worker.usable) {
        Crowd& crowd = crowds_[*worker.affinity];
        crowd.change(by, worker.speed);
        if (crowd.count == 0) crowds_.erase(*worker.affinity);
    }
    if (worker.hungry) change(hungry_, std::pair(*worker.hungry, rank), by);
    if (worker.spare > 0) {
        Spare& spare = spare_[worker.affinity];
        change(spare, std::pair(worker.spare, rank), by);
        if (spare.empty()) spare_.erase(worker.affinity);
    }
}

}  // namespace memcap::sched
