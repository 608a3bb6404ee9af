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
};

/// What a worker has and wants at one moment.
struct WorkerStatus {
    std::uint64_t sequence = 0;    ///< grows with each status, so that a late copy is recognised
    LeaseId lease_seen;            ///< the newest lease that has arrived
    std::uint64_t affinity = 0;    ///< of the task started last
    bool has_affinity = false;     ///< false before the first task
    std::uint32_t free_slots = 0;  ///< tasks it could start at once
    std::uint32_t queued = 0;      ///< tasks it holds and has not started; they are the newest of its leases
    std::uint32_t wanted = 0;      ///< tasks it asks for
};

namespace message {

// From a worker.
/// The first word; repeated until the welcome.
struct Join {
    WorkerFacts facts;
};
/// The worker's needs changed.
struct Status {
    WorkerStatus status;
};
/// Sent each Options::heartbeat_s with all that the worker holds: queued, running, or finished and
/// unacknowledged.
struct Heartbeat {
    WorkerStatus status;
    std::vector<TaskLease> held;
};
/// Repeated until it is acknowledged.
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
/// The worker holds nothing any more and wants nothing; repeated with each heartbeat.
struct Leave {};
/// The executor threw; `running` are the tasks it was on. Repeated with each heartbeat.
struct Failed {
    std::string reason;
    std::vector<TaskLease> running;
};
/// The last word, the answer to Finish.
struct Goodbye {};
/// What the scheduler does not read: for whoever started the run.
struct Note {
    Bytes bytes;
};
/// From the agent, in place of a worker whose process ended without a goodbye; a new one may join.
struct Crashed {
    std::string reason;
};

// From the manager.
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
/// Drop these unless they are running: somebody else has them or has finished them.
struct Withdraw {
    std::vector<TaskLease> tasks;
};
/// Stop running tasks now, send what is finished, leave.
struct Stop {};
/// The run is over: say goodbye and go.
struct Finish {};
/// The manager is alive.
struct Pulse {};

}  // namespace message

using Message =
    std::variant<message::Join, message::Status, message::Heartbeat, message::Result, message::Checkpoint,
                 message::Returned, message::Leave, message::Failed, message::Goodbye, message::Note,
                 message::Crashed, message::Welcome, message::Lease, message::Acknowledge, message::Recall,
                 message::Withdraw, message::Stop, message::Finish, message::Pulse>;

/// Changes with the layout of any message.
inline constexpr std::uint16_t kMessageVersion = 2;

Bytes encode(const Message& message);
/// Throws TransportError if the bytes are damaged or of another version.
Message decode_message(std::span<const std::byte> bytes);

/// What an agent needs to know of a message that it passes on, from its first bytes; false for damaged ones.
bool is_result(std::span<const std::byte> bytes);
bool is_goodbye(std::span<const std::byte> bytes);
bool is_finish(std::span<const std::byte> bytes);

}  // namespace memcap::sched
