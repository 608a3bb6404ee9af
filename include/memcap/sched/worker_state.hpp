// What a worker holds and what it says about that: the worker's half of the protocol, without clock or
// threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "memcap/sched/message.hpp"
#include "memcap/sched/options.hpp"
#include "memcap/sched/task.hpp"

namespace memcap::sched {

/// Keeps tasks and results between the manager's messages and the executor's calls. Every change takes the
/// time as an argument; what must be sent comes out of messages(). Not safe from several threads.
class WorkerState {
  public:
    WorkerState(WorkerFacts facts, double now_s);

    /// A message from the manager.
    void receive(Message message, double now_s);
    /// What is to be sent to the manager now.
    std::vector<Message> messages(double now_s);

    /// The executor has `most` free slots and takes what is queued, of one affinity.
    std::vector<LeasedTask> take(std::size_t most, double now_s);
    /// The executor gives a result.
    void finish(TaskResult result, double now_s);
    /// The executor says how far a task is.
    void checkpoint(TaskIndex task, Bytes state);
    /// The executor has computed.
    void computed(std::uint64_t affinity, double work, double seconds, const UnfinishedWork& unfinished);
    /// The executor returned; what it did not finish goes back.
    void executor_returned();
    /// The executor threw.
    void executor_threw(std::string reason);
    /// Give everything back and leave: a signal on this rank.
    void stop();
    /// End as if the manager had said so: it cannot be reached.
    void abandon();

    const Bytes& setup() const { return setup_; }
    const Options& options() const { return options_; }
    /// At some time; true from then on.
    bool welcomed() const { return ever_welcomed_; }
    /// No task will come any more, and running ones are to be left.
    bool closed() const { return stopping_ || finished_; }
    /// The manager has ended the run.
    bool finished() const { return finished_; }
    /// What the executor threw; empty if nothing.
    const std::string& failure() const { return failure_; }
    bool executor_gone() const { return executor_gone_; }
    bool said_goodbye() const { return said_goodbye_; }
    /// The manager has been silent for longer than its deadline.
    bool manager_lost(double now_s) const;

    std::size_t queued() const { return queue_.size(); }
    std::size_t running() const { return running_.size(); }
    std::size_t unacknowledged() const { return unacknowledged_.size(); }
    std::uint64_t acknowledged() const { return acknowledged_; }

  private:
    struct Queued {
        LeasedTask task;
        LeaseId lease;
    };
    struct Finished {
        LeaseId lease;
        bool failed = false;
    };
    struct Needs {
        LeaseId lease_seen;
        std::uint32_t free_slots = 0;
        std::uint32_t wanted = 0;
        bool operator==(const Needs&) const = default;
    };

    void accept(message::Lease lease);
    void acknowledge(const message::Acknowledge& message);
    void rejoin();
    void give_back(std::size_t tasks);
    Needs needs(double now_s) const;
    std::uint32_t prefetch(double now_s) const;
    void count_finished(double now_s);
    void report(std::vector<Message>& out, double now_s);
    void report_needs(std::vector<Message>& out, double now_s);
    void report_leaving(std::vector<Message>& out);

    WorkerFacts facts_;
    Options options_;
    Bytes setup_;
    bool joined_ = false;
    bool welcomed_ = false;
    bool ever_welcomed_ = false;
    bool stopping_ = false;
    bool finished_ = false;
    bool executor_gone_ = false;
    bool said_goodbye_ = false;
    bool left_ = false;
    std::string failure_;
    double heard_s_;
    double watched_s_;
    double beat_s_;

    std::deque<Queued> queue_;
    std::map<TaskIndex, LeaseId> running_;
    std::map<TaskIndex, Finished> unacknowledged_;
    std::vector<message::Result> results_;          ///< not sent yet
    std::vector<message::Checkpoint> checkpoints_;  ///< not sent yet
    std::vector<TaskLease> started_;                ///< not told yet
    std::vector<TaskLease> returned_;               ///< not told yet
    bool answer_recall_ = false;
    Pace pace_;
    UnfinishedWork unfinished_;
    std::uint64_t acknowledged_ = 0;

    LeaseId lease_seen_;
    std::size_t free_slots_ = 0;
    Needs said_;
    double rate_per_s_ = 0.0;  ///< finished tasks, averaged over the last seconds
    double rate_time_s_;
    double first_take_s_ = -1.0;
};

}  // namespace memcap::sched
