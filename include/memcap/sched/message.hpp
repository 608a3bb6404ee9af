// What manager and workers tell each other, and its form as bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/sched/options.hpp"
#include "memcap/sched/task.hpp"

namespace memcap::sched {

/// What a worker is, told once.
struct WorkerFacts {
    std::string host;
    std::string device;  ///< e.g. "cpu, 8 threads"
    double speed = 1.0;  ///< relative; any unit that all workers share, e.g. threads or peak FLOP/s
    /// Of the device itself, alike for all that compute on it; empty: the host's CPUs.
    std::string device_id;
};

/// What a worker's process has computed so far of the tasks of one affinity.
struct Pace {
    std::uint64_t affinity = 0;
    double work = 0.0;    ///< in the unit of Task::cost
    double busy_s = 0.0;  ///< the time that took
};

namespace message {

// From a worker.
/// The first word of a process, and its answer to Rejoin.
struct Join {
    WorkerFacts facts;
};
/// What the worker wants, and what it has started since the last one.
struct Status {
    LeaseId lease_seen;              ///< the newest lease that had arrived
    std::uint32_t free_slots = 0;    ///< tasks it could start at once
    std::uint32_t wanted = 0;        ///< tasks it asks for
    std::vector<TaskLease> started;  ///< has left the process before the executor sees these tasks
};
/// The worker is alive; sent each Options::heartbeat_s.
struct Heartbeat {
    Pace pace;
    UnfinishedWork unfinished;
};
struct Result {
    LeaseId lease;
    TaskResult result;
};
/// How far a running task is: what another attempt can go on from.
struct Checkpoint {
    TaskLease which;
    Bytes state;
};
/// The answer to a recall (maybe nothing), or tasks given back because the worker stops.
struct Returned {
    std::vector<TaskLease> tasks;
};
/// The worker holds nothing any more and wants nothing.
struct Leave {};
/// The executor threw. What the worker had started is to blame.
struct Failed {
    std::string reason;
};
/// The last word, the answer to Finish.
struct Goodbye {};
/// What the scheduler does not read: for whoever started the run.
struct Note {
    Bytes bytes;
};
/// From the agent, in place of a worker whose process ended without a goodbye; a new one may join. An agent
/// whose worker is gone answers Finish itself.
struct Crashed {
    std::string reason;
};

// From the manager. Until it is welcomed a worker ignores all but Welcome, Stop and Finish: the rest was
// meant for a process before it.
struct Welcome {
    Options options;
    Bytes setup;  ///< for the executor's factory
};
struct Lease {
    LeaseId id;
    std::vector<LeasedTask> tasks;
};
/// These results are safe.
struct Acknowledge {
    std::vector<TaskLease> tasks;
};
/// Give back up to this many tasks that have not been started.
struct Recall {
    std::uint32_t tasks = 0;
};
/// You were thought lost, your leases are void: forget what is queued and join again. What is running may go
/// on: its result counts if nobody else has one.
struct Rejoin {};
/// Stop running tasks now, send what is finished, leave.
struct Stop {};
/// The run is over: say goodbye and go.
struct Finish {};
/// The manager is alive.
struct Pulse {};
/// For the agent: start the worker anew, in a process that begins with a self-test.
struct Renew {};

}  // namespace message

using Message =
    std::variant<message::Join, message::Status, message::Heartbeat, message::Result, message::Checkpoint,
                 message::Returned, message::Leave, message::Failed, message::Goodbye, message::Note,
                 message::Crashed, message::Welcome, message::Lease, message::Acknowledge, message::Recall,
                 message::Rejoin, message::Stop, message::Finish, message::Pulse, message::Renew>;

/// Changes with the layout of any message.
inline constexpr std::uint16_t kMessageVersion = 5;

Bytes encode(const Message& message);
/// Throws TransportError if the bytes are damaged or of another version.
Message decode_message(std::span<const std::byte> bytes);

/// What an agent needs to know of a message that it passes on, from its first bytes; false for damaged ones.
bool is_result(std::span<const std::byte> bytes);
bool is_goodbye(std::span<const std::byte> bytes);
bool is_finish(std::span<const std::byte> bytes);
bool is_renew(std::span<const std::byte> bytes);

}  // namespace memcap::sched
