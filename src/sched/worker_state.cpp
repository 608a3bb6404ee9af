// The worker's half of the protocol.
#include "memcap/sched/worker_state.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "memcap/base/contracts.hpp"

namespace memcap::sched {

namespace {

constexpr double kRateMemory_s = 10.0;  // the rate of finished tasks is an average over about this long
constexpr double kMaxPrefetch = 4096.0;

template <class... Handlers>
struct Overloaded : Handlers... {
    using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace

WorkerState::WorkerState(WorkerFacts facts, double now_s)
    : facts_(std::move(facts)), heard_s_(now_s), watched_s_(now_s), beat_s_(now_s), rate_time_s_(now_s) {}

void WorkerState::receive(Message message, double now_s) {
    heard_s_ = now_s;
    std::visit(Overloaded{
                   [&](message::Welcome& welcome) {
                       welcomed_ = true;
                       if (std::exchange(ever_welcomed_, true)) return;
                       options_ = welcome.options;
                       setup_ = std::move(welcome.setup);
                   },
                   [&](message::Lease& lease) {
                       if (welcomed_) accept(std::move(lease));
                   },
                   [&](message::Acknowledge& safe) { acknowledge(safe); },
                   [&](message::Recall& recall) {
                       if (!welcomed_) return;
                       give_back(recall.tasks);
                       answer_recall_ = true;
                   },
                   [&](message::Rejoin&) {
                       if (welcomed_) rejoin();
                   },
                   [&](message::Stop&) { stop(); },
                   [&](message::Finish&) { abandon(); },
                   [](auto&) {},
               },
               message);
}

void WorkerState::accept(message::Lease lease) {
    lease_seen_ = lease.id;
    for (LeasedTask& leased : lease.tasks) {
        const TaskIndex index = leased.task.id;
        // Only after a Rejoin can a task still be here: it is never computed twice on one worker.
        const auto done = unacknowledged_.find(index);
        if (const auto running = running_.find(index); running != running_.end()) {
            running->second = lease.id;
            started_.push_back({index, lease.id});
        } else if (done == unacknowledged_.end() || done->second.failed) {
            queue_.push_back({std::move(leased), lease.id});
        }
    }
    if (closed() || executor_gone_) give_back(queue_.size());
}

void WorkerState::acknowledge(const message::Acknowledge& message) {
    for (const TaskLease& safe : message.tasks) {
        const auto found = unacknowledged_.find(safe.task);
        if (found == unacknowledged_.end() || found->second.lease != safe.lease) continue;
        unacknowledged_.erase(found);
        ++acknowledged_;
    }
}

void WorkerState::rejoin() {
    welcomed_ = joined_ = left_ = answer_recall_ = false;
    queue_.clear();
    started_.clear();
    returned_.clear();
    said_ = {};
}

void WorkerState::give_back(std::size_t tasks) {
    for (; tasks > 0 && !queue_.empty(); --tasks) {
        returned_.push_back({queue_.back().task.task.id, queue_.back().lease});
        queue_.pop_back();
    }
}

void WorkerState::stop() {
    if (stopping_) return;
    stopping_ = true;
    free_slots_ = 0;
    give_back(queue_.size());
}

std::vector<LeasedTask> WorkerState::take(std::size_t most, double now_s) {
    std::vector<LeasedTask> taken;
    if (closed()) return taken;
    while (taken.size() < most && !queue_.empty()) {
        Queued& next = queue_.front();
        if (!taken.empty() && next.task.task.affinity != taken.front().task.affinity) break;
        running_.emplace(next.task.task.id, next.lease);
        started_.push_back({next.task.task.id, next.lease});
        taken.push_back(std::move(next.task));
        queue_.pop_front();
    }
    free_slots_ = most - taken.size();
    if (!taken.empty() && first_take_s_ < 0.0) first_take_s_ = now_s;
    return taken;
}

void WorkerState::finish(TaskResult result, double now_s) {
    const auto running = running_.find(result.task);
    MEMCAP_EXPECT(running != running_.end());
    const LeaseId lease = running->second;
    running_.erase(running);
    unacknowledged_[result.task] = {lease, result.failure.has_value()};
    results_.push_back({lease, std::move(result)});
    count_finished(now_s);
}

void WorkerState::checkpoint(TaskIndex task, Bytes state) {
    const auto running = running_.find(task);
    MEMCAP_EXPECT(running != running_.end());
    checkpoints_.push_back({{task, running->second}, std::move(state)});
}

void WorkerState::computed(std::uint64_t affinity, double work, double seconds,
                           const UnfinishedWork& unfinished) {
    if (pace_.affinity != affinity) pace_ = {.affinity = affinity};
    pace_.work += work;
    pace_.busy_s += seconds;
    unfinished_ = unfinished;
}

void WorkerState::executor_returned() {
    executor_gone_ = true;
    for (const auto& [index, lease] : running_) returned_.push_back({index, lease});
    running_.clear();
    stop();
}

void WorkerState::executor_threw(std::string reason) {
    failure_ = reason.empty() ? "unknown" : std::move(reason);
    running_.clear();
    executor_gone_ = true;
    stop();
}

void WorkerState::abandon() {
    queue_.clear();
    finished_ = true;
}

bool WorkerState::manager_lost(double now_s) const {
    return ever_welcomed_ && now_s - heard_s_ > options_.manager_deadline_s;
}

std::vector<Message> WorkerState::messages(double now_s) {
    // While this process itself was away nobody could be heard.
    if (now_s - watched_s_ > options_.manager_deadline_s / 4) heard_s_ += now_s - watched_s_;
    watched_s_ = now_s;
    std::vector<Message> out;
    if (said_goodbye_) return out;
    if (!finished_) {
        report(out, now_s);
    } else if (executor_gone_) {
        said_goodbye_ = true;
        out.emplace_back(message::Goodbye{});
    }
    return out;
}

void WorkerState::report(std::vector<Message>& out, double now_s) {
    if (!std::exchange(joined_, true)) out.emplace_back(message::Join{facts_});
    for (message::Result& result : std::exchange(results_, {})) out.emplace_back(std::move(result));
    for (message::Checkpoint& checkpoint : std::exchange(checkpoints_, {}))
        out.emplace_back(std::move(checkpoint));
    if (welcomed_) {
        report_needs(out, now_s);
        if (!returned_.empty() || answer_recall_) {
            out.emplace_back(message::Returned{std::exchange(returned_, {})});
            answer_recall_ = false;
        }
    }
    report_leaving(out);
    if (ever_welcomed_ && now_s - beat_s_ >= options_.heartbeat_s) {
        beat_s_ = now_s;
        out.emplace_back(message::Heartbeat{pace_, unfinished_});
    }
}

void WorkerState::report_needs(std::vector<Message>& out, double now_s) {
    const Needs now = needs(now_s);
    if ((stopping_ || now == said_) && started_.empty()) return;
    said_ = now;
    out.emplace_back(
        message::Status{now.lease_seen, now.free_slots, now.wanted, std::exchange(started_, {})});
}

void WorkerState::report_leaving(std::vector<Message>& out) {
    if (!stopping_ || !executor_gone_ || std::exchange(left_, true)) return;
    if (failure_.empty()) {
        out.emplace_back(message::Leave{});
    } else {
        out.emplace_back(message::Failed{failure_});
    }
}

WorkerState::Needs WorkerState::needs(double now_s) const {
    Needs now{lease_seen_, static_cast<std::uint32_t>(free_slots_), 0};
    if (stopping_ || executor_gone_) return now;
    const std::uint32_t ahead = prefetch(now_s);
    const std::uint32_t goal = now.free_slots + ahead;
    const std::uint32_t missing = goal - std::min(goal, static_cast<std::uint32_t>(queue_.size()));
    // Small wishes wait until they are worth a message, unless a slot is free.
    now.wanted = now.free_slots > 0 || missing >= (ahead + 1) / 2 ? missing : 0;
    return now;
}

std::uint32_t WorkerState::prefetch(double now_s) const {
    const double age_s = std::max(now_s - first_take_s_, 1e-3);
    // The average starts at zero: divided by its weight it is right from the first task on.
    const double rate = rate_per_s_ * std::exp(-(now_s - rate_time_s_) / kRateMemory_s) /
                        (1.0 - std::exp(-age_s / kRateMemory_s));
    return static_cast<std::uint32_t>(std::clamp(std::ceil(rate * options_.prefetch_s), 1.0, kMaxPrefetch));
}

void WorkerState::count_finished(double now_s) {
    rate_per_s_ = rate_per_s_ * std::exp(-(now_s - rate_time_s_) / kRateMemory_s) + 1.0 / kRateMemory_s;
    rate_time_s_ = now_s;
}

}  // namespace memcap::sched
