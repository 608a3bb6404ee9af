// The seam to whatever carries bytes between processes: MPI between ranks, a socket between an agent and its
// compute process, memory between threads.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "memcap/base/bytes.hpp"
#include "memcap/sched/task.hpp"

namespace memcap::sched {

/// What came from a rank: bytes, or why it can no longer be reached.
struct Parcel {
    Rank from = 0;
    Bytes bytes;
    std::string failure;  ///< empty unless it is one
};

/// One rank's end of a wire that loses, doubles and reorders nothing. Never blocks; one thread at a time may
/// use an end.
class Transport {
  public:
    virtual ~Transport() = default;
    /// Takes the bytes over and returns at once. A failure comes out of poll().
    virtual void send(Rank to, Bytes bytes) = 0;
    /// The next parcel or failure, if there is one.
    virtual std::optional<Parcel> poll() = 0;
    /// Parcels to this rank that have not left this process yet.
    virtual std::size_t unsent(Rank to) = 0;
    /// Waits up to `timeout_s` until everything sent has left this process; false if something has not.
    virtual bool flush(double timeout_s) = 0;
    virtual Rank rank() const = 0;
    /// Ranks of the run, this one included.
    virtual Rank size() const = 0;
};

/// Other work of the thread that polls a transport, called between polls: true if there was some. May not
/// wait.
using PollHook = std::function<bool()>;

}  // namespace memcap::sched
