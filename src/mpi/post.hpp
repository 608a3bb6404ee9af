// The seam to whatever carries bytes between ranks.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "memcap/base/bytes.hpp"
#include "memcap/sched/task.hpp"

namespace memcap::mpi {

using sched::Rank;

/// What came from a rank: bytes, or why it can no longer be reached.
struct Parcel {
    Rank from = 0;
    Bytes bytes;
    std::string failure;  ///< empty unless it is one
};

/// One rank's end of the wire for byte strings. Never blocks; parcels of one sender arrive in their order;
/// one thread at a time may use an end.
class Post {
  public:
    virtual ~Post() = default;
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

}  // namespace memcap::mpi
