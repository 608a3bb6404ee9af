// The scheduler: decides who computes what. A pure state machine without I/O, clock or threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "memcap/sched/attempt.hpp"
#include "memcap/sched/message.hpp"
#include "memcap/sched/options.hpp"
#include "memcap/sched/task.hpp"
#include "memcap/sched/worker_view.hpp"

namespace memcap::sched {

/// What the scheduler is told.
namespace event {

/// A worker's message arrived.
struct Received {
    Rank from = 0;
    Message message;
};
/// The transport cannot reach or understand this worker.
struct PeerLost {
    Rank rank = 0;
    std::string reason;
};
/// Time has passed; wanted several times a second.
struct Tick {};
/// End early: no new leases, running tasks stop, what is finished is kept.
struct StopRequested {};
/// These results are safe on disk.
struct Stored {
    std::vector<TaskIndex> tasks;
};
/// These results could not be kept.
struct StoreFailed {
    std::vector<TaskIndex> tasks;
    std::string reason;
};

}  // namespace event

using Event = std::variant<event::Received, event::PeerLost, event::Tick, event::StopRequested, event::Stored,
                           event::StoreFailed>;

/// What the scheduler wants done, in this order.
namespace action {

/// A message to a worker. Options and setup of a welcome, and payloads that the tasks of a lease lack, are
/// filled in by whoever sends it.
struct Send {
    Rank to = 0;
    Message message;
};
/// Keep this result, then answer with event::Stored or event::StoreFailed.
struct Store {
    TaskResult result;
};
/// Note durably that a worker died with this task; needs no answer unless that fails, which is an
/// event::StoreFailed.
struct NoteCrash {
    TaskIndex task;
    std::string reason;
};
/// Note what became of attempts; needs no answer.
struct NoteAttempts {
    AttemptNote note;
};
/// Something a person should know.
struct Warn {
    std::string text;
};

}  // namespace action

using Action =
    std::variant<action::Send, action::Store, action::NoteCrash, action::NoteAttempts, action::Warn>;

/// How many tasks and workers are where.
struct Counts {
    std::uint64_t total = 0;  ///< tasks of this run, those beyond the limit left out
    std::uint64_t beyond_limit = 0;
    std::uint64_t waiting = 0;
    std::uint64_t leased = 0;
    std::uint64_t started = 0;  ///< of the leased ones
    std::uint64_t storing = 0;
    std::uint64_t done = 0;
    std::uint64_t failed = 0;
    double cost = 0.0;               ///< of all tasks of this run
    double ended_cost = 0.0;         ///< of those done or failed
    std::uint32_t workers = 0;       ///< able to take tasks
    std::uint32_t lost_workers = 0;  ///< silent or unreachable now
};

/// Hands tasks to workers so that each ends exactly once, whichever workers crash, fall silent or come back.
///
/// Leases: a worker gets tasks of the affinity it has loaded as long as there are some, then those of the
/// affinity with most work per worker. It holds no more than its share, by speed, of the cost that is still
/// open (half of that beyond its free slots), so leases shrink towards the end; and what a worker has queued
/// is recalled once another one is idle. Dear tasks go first.
///
/// Failures: a task gets a strike when a worker on which it was started dies or when it fails in a retryable
/// way. With a strike it runs alone on its worker, so that it does not take blame for a neighbour or pass it
/// on, and elsewhere than before if it can. Leaving workers give no strikes. A worker whose process or device
/// dies again and again, or that is ten times slower than its like, gets no more tasks, nor do others on that
/// device, until fresh processes have passed their self-tests; the second time for good. One that cannot load
/// what tasks need gets none of that affinity. Where nobody can run them tasks fail for good, and where the
/// first ones all fail alike the run ends. A worker that was silent for too long is lost; heard of again, it
/// drops its leases and joins anew. The first success of a task counts, whoever sends it.
///
/// Time: before the end of the job no task is started that would not be saved once or end before; at the end
/// those that run are stopped.
class Scheduler {
  public:
    /// `ranks` are the workers to wait for; task.id is set to the place in the list.
    Scheduler(std::vector<Task> tasks, const std::vector<Rank>& ranks, const Options& options, double now_s);
    ~Scheduler();
    Scheduler(Scheduler&&) noexcept;
    Scheduler& operator=(Scheduler&&) noexcept;

    /// The only way its state changes. `now_s` never decreases.
    std::vector<Action> handle(Event event, double now_s);

    const Task& task(TaskIndex index) const;
    /// Whether a worker holds a task by this lease.
    bool holds(Rank rank, const TaskLease& lease) const;
    Counts counts() const;
    /// Of all workers that hold tasks, as they told last.
    UnfinishedWork unfinished() const;
    /// True once no task will start any more; every worker has then been told to finish.
    bool over() const;
    /// True once the run ends early: stop, full disk or no worker left.
    bool stopping() const;
    /// Why the run ends early; empty if it does not, or was told to.
    const std::string& stop_reason() const;
    /// Whether that is because the job ends.
    bool out_of_time() const;
    /// How all tasks failed, where that is why the run ends early.
    const std::string& alike_failure() const;
    /// Workers that get no more tasks, or none of some affinity, as "rank 3 (host): reason".
    std::vector<std::string> barred_workers() const;
    /// Workers that have been told to finish and have not said goodbye, lost ones left out.
    std::vector<Rank> missing_goodbyes() const;
    /// Workers that were silent or unreachable when last looked at.
    std::vector<Rank> lost_workers() const;

    /// All workers, by rank.
    std::vector<WorkerView> workers() const;
    /// Why this worker has what it has, in one sentence a person can use.
    std::string explain_worker(Rank rank, double now_s) const;
    /// Why this task is where it is.
    std::string explain_task(TaskIndex index) const;
    /// Verifies every invariant; throws ContractViolation. For tests: it looks at everything.
    void check() const;

    struct State;

  private:
    std::unique_ptr<State> state_;
};

}  // namespace memcap::sched
