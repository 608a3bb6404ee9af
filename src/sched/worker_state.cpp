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

bool is_retried(const TaskResult& result) {
    return result.failure && result.failure->category != FailureCategory::permanent;
}

template <class... Handlers>
struct Overloaded : Handlers... {
    using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace

WorkerState::WorkerState(WorkerFacts facts, double now_s)
    : facts_(std::move(facts)), heard_s_(now_s), watched_s_(now_s), said_s_(now_s), rate_time_s_(now_s) {}

void WorkerState::receive(Message message, double now_s) {
    heard_s_ = now_s;
    std::visit(Overloaded{
                   [&](message::Welcome& welcome) {
                       if (welcomed_) return;
                       welcomed_ = true;
                       options_ = welcome.options;
                       setup_ = std::move(welcome.setup);
                   },
                   [&](message::Lease& lease) { accept(std::move(lease)); },
                   [&](message::Acknowledge& safe) { acknowledge(safe); },
                   [&](message::Recall& recall) {
                       give_back(recall.tasks);
                       answer_recall_ = true;
                   },
                   [&](message::Withdraw& withdrawn) { withdraw(withdrawn); },
                   [&](message::Stop&) { stop(now_s); },
                   [&](message::Finish&) { abandon(); },
                   [](auto&) {},
               },
               message);
}

void WorkerState::accept(message::Lease lease) {
    // A copy, or one that a newer lease has overtaken: the manager knows by now that its tasks are not here.
    if (lease.id <= lease_seen_) return;
    lease_seen_ = lease.id;
    for (LeasedTask& leased : lease.tasks) {
        const TaskIndex index = leased.task.id;
        const auto queued = std::find_if(queue_.begin(), queue_.end(),
                                         [&](const Queued& other) { return other.task.task.id == index; });
        // A failure to be retried that comes back as a new lease has arrived; only its acknowledgement has
        // not.
        const auto failed = unacknowledged_.find(index);
        if (failed != unacknowledged_.end() && is_retried(failed->second.result))
            unacknowledged_.erase(failed);
        // Whatever else is here of a task serves the new lease too: it is never computed twice on one worker.
        if (const auto running = running_.find(index); running != running_.end()) {
            running->second.lease = lease.id;
        } else if (const auto done = unacknowledged_.find(index); done != unacknowledged_.end()) {
            done->second.lease = lease.id;
            done->second.sent = false;
        } else if (queued != queue_.end()) {
            queued->lease = lease.id;
            queued->task.attempt = leased.attempt;
        } else {
            queue_.push_back({std::move(leased), lease.id});
        }
    }
    if (closed() || executor_gone_) give_back_all();
}

void WorkerState::acknowledge(const message::Acknowledge& message) {
    for (const TaskLease& safe : message.tasks) {
        const auto found = unacknowledged_.find(safe.task);
        if (found == unacknowledged_.end() || found->second.lease != safe.lease) continue;
        unacknowledged_.erase(found);
        ++acknowledged_;
    }
}

void WorkerState::give_back(std::uint32_t tasks) {
    for (; tasks > 0 && !queue_.empty(); --tasks) {
        returned_.push_back({queue_.back().task.task.id, queue_.back().lease});
        queue_.pop_back();
    }
}

void WorkerState::give_back_all() {
    give_back(static_cast<std::uint32_t>(queue_.size()));
}

void WorkerState::withdraw(const message::Withdraw& message) {
    for (const TaskLease& withdrawn : message.tasks) {
        std::erase_if(queue_, [&](const Queued& queued) {
            return queued.task.task.id == withdrawn.task && queued.lease == withdrawn.lease;
        });
    }
}

void WorkerState::stop(double now_s) {
    if (stopping_) return;
    stopping_ = true;
    stopped_s_ = now_s;
    free_slots_ = 0;
    give_back_all();
}

std::vector<LeasedTask> WorkerState::take(std::size_t most, double now_s) {
    std::vector<LeasedTask> taken;
    if (closed()) return taken;
    while (taken.size() < most && !queue_.empty()) {
        Queued& next = queue_.front();
        if (!taken.empty() && next.task.task.affinity != taken.front().task.affinity) break;
        running_.emplace(next.task.task.id, Running{next.task.attempt, next.lease});
        affinity_ = next.task.task.affinity;
        has_affinity_ = true;
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
    const LeaseId lease = running->second.lease;
    running_.erase(running);
    auto& kept = unacknowledged_[result.task];
    kept = {lease, std::move(result), 0.0, false};
    count_finished(now_s);
}

void WorkerState::checkpoint(TaskIndex task, Bytes state) {
    const auto running = running_.find(task);
    MEMCAP_EXPECT(running != running_.end());
    checkpoints_.push_back({{task, running->second.lease}, std::move(state)});
}

void WorkerState::executor_returned(double now_s) {
    executor_gone_ = true;
    for (const auto& [index, running] : running_) returned_.push_back({index, running.lease});
    running_.clear();
    stop(now_s);
}

void WorkerState::executor_threw(std::string reason, double now_s) {
    failure_ = reason.empty() ? "unknown" : std::move(reason);
    for (const auto& [index, running] : running_) failed_running_.push_back({index, running.lease});
    running_.clear();
    executor_gone_ = true;
    stop(now_s);
}

void WorkerState::abandon() {
    queue_.clear();
    finished_ = true;
}

bool WorkerState::manager_lost(double now_s) const {
    return welcomed_ && now_s - heard_s_ > options_.manager_deadline_s;
}

std::vector<Message> WorkerState::messages(double now_s) {
    // While this process itself was away nobody could be heard.
    if (now_s - watched_s_ > options_.manager_deadline_s / 4) heard_s_ += now_s - watched_s_;
    watched_s_ = now_s;
    std::vector<Message> out;
    if (said_goodbye_) return out;
    if (finished_) {
        if (executor_gone_) {
            said_goodbye_ = true;
            out.emplace_back(message::Goodbye{});
        }
        return out;
    }
    if (!welcomed_) {
        if (!said_anything_ || now_s - said_s_ >= options_.heartbeat_s) {
            said_anything_ = true;
            said_s_ = now_s;
            out.emplace_back(message::Join{facts_});
        }
        return out;
    }
    for (message::Checkpoint& checkpoint : checkpoints_) out.emplace_back(std::move(checkpoint));
    checkpoints_.clear();
    report_results(out, now_s);
    if (!returned_.empty() || answer_recall_) {
        out.emplace_back(message::Returned{std::exchange(returned_, {})});
        answer_recall_ = false;
    }
    report_needs(out, now_s);
    report_regularly(out, now_s);
    return out;
}

void WorkerState::report_results(std::vector<Message>& out, double now_s) {
    for (auto& [index, waiting] : unacknowledged_) {
        if (waiting.sent && now_s - waiting.sent_s < options_.resend_s) continue;
        waiting.sent = true;
        waiting.sent_s = now_s;
        out.emplace_back(message::Result{waiting.lease, waiting.result});
    }
}

/// Says what is wanted when that is much, and what is queued whenever it changes.
void WorkerState::report_needs(std::vector<Message>& out, double now_s) {
    if (stopping_) return;
    WorkerStatus now = status(now_s);
    const bool same = now.lease_seen == said_.lease_seen && now.free_slots == said_.free_slots &&
                      now.queued == said_.queued && now.wanted == said_.wanted &&
                      now.has_affinity == said_.has_affinity && now.affinity == said_.affinity;
    if (same) return;
    now.sequence = ++sequence_;
    said_ = now;
    out.emplace_back(message::Status{now});
}

void WorkerState::report_regularly(std::vector<Message>& out, double now_s) {
    const bool leaving = stopping_ && may_leave(now_s);
    if (now_s - said_s_ < options_.heartbeat_s && !(leaving && !left_)) return;
    said_s_ = now_s;
    if (leaving && failure_.empty()) {
        out.emplace_back(message::Leave{});
    } else if (leaving) {
        out.emplace_back(message::Failed{failure_, failed_running_});
    }
    left_ = leaving;
    WorkerStatus now = status(now_s);
    now.sequence = ++sequence_;
    said_ = now;
    out.emplace_back(message::Heartbeat{now, held()});
}

/// A failure is told at once; leaving waits for the acknowledgements, but not for ever: the disk may be full.
bool WorkerState::may_leave(double now_s) const {
    if (!executor_gone_) return false;
    return !failure_.empty() || unacknowledged_.empty() || now_s - stopped_s_ > options_.drain_s / 2;
}

WorkerStatus WorkerState::status(double now_s) {
    WorkerStatus now;
    now.lease_seen = lease_seen_;
    now.affinity = affinity_;
    now.has_affinity = has_affinity_;
    now.free_slots = static_cast<std::uint32_t>(free_slots_);
    now.queued = static_cast<std::uint32_t>(queue_.size());
    if (stopping_ || executor_gone_) return now;
    const std::uint32_t ahead = prefetch(now_s);
    const std::uint32_t goal = now.free_slots + ahead;
    const std::uint32_t missing = goal - std::min(goal, now.queued);
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

std::vector<TaskLease> WorkerState::held() const {
    std::vector<TaskLease> all;
    all.reserve(queue_.size() + running_.size() + unacknowledged_.size() + failed_running_.size());
    all.insert(all.end(), failed_running_.begin(), failed_running_.end());
    for (const Queued& queued : queue_) all.push_back({queued.task.task.id, queued.lease});
    for (const auto& [index, running] : running_) all.push_back({index, running.lease});
    for (const auto& [index, waiting] : unacknowledged_) all.push_back({index, waiting.lease});
    return all;
}

}  // namespace memcap::sched
