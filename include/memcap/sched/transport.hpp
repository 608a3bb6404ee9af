// The seam to whatever carries messages between ranks.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "memcap/sched/message.hpp"

namespace memcap::sched {

/// A peer that can no longer be reached or understood.
struct PeerFailure {
    std::string reason;
};

struct Incoming {
    Rank from = 0;
    std::variant<Message, PeerFailure> content;
};

/// One rank's end of the wire. Never blocks; one thread at a time may use an end.
class Transport {
  public:
    virtual ~Transport() = default;
    /// Takes the message over and returns at once. A failure comes out of poll() as a PeerFailure.
    virtual void send(Rank to, Message message) = 0;
    /// The next message or failure, if there is one.
    virtual std::optional<Incoming> poll() = 0;
    virtual Rank rank() const = 0;
    /// Ranks of the run, this one included.
    virtual Rank size() const = 0;
    /// Waits up to `timeout_s` until everything sent has left this process; false if something has not.
    virtual bool flush(double timeout_s) = 0;
};

/// Other work of the thread that polls a transport, called between polls: true if there was some. May not
/// wait.
using PollHook = std::function<bool()>;

}  // namespace memcap::sched
