// Frames over a stream socket: what an agent and its compute process tell each other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "memcap/sched/transport.hpp"

namespace memcap::agent {

/// What a frame is about.
enum class Channel : std::uint8_t {
    scheduler,  ///< messages between manager and worker
    exchange,   ///< parcels of the weight exchange
    delivered,  ///< from the agent: so many parcels to a rank have left it
    place,      ///< from the agent, once: what the compute process is to know about itself
    alive,      ///< from the compute process: it polls
    trouble,    ///< from the compute process: why it is about to end
    word,       ///< from any process that was started: what it has to say at its end
};

/// One end of a connected stream socket. Never blocks but in wait(); for one thread.
class Wire {
  public:
    /// Takes the descriptor over.
    explicit Wire(int descriptor);
    ~Wire();
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    /// Takes the bytes over. `rank` is whom they are for or come from.
    void send(Channel channel, sched::Rank rank, Bytes bytes);
    /// The next frame of a channel that has arrived.
    std::optional<sched::Parcel> take(Channel channel);
    /// Moves what can be moved; true if anything did.
    bool step();
    /// Sleeps up to `timeout_s`, or until something can be moved.
    void wait(double timeout_s) const;
    /// The other end is gone, and all that it had sent was read.
    bool closed() const noexcept { return closed_; }
    /// Frames that have not left this process.
    std::size_t unsent() const noexcept { return outgoing_.size(); }
    std::size_t unsent(Channel channel, sched::Rank rank) const;
    std::size_t unsent_bytes() const noexcept { return outgoing_bytes_; }

  private:
    static constexpr std::size_t kHeaderBytes = 16;

    struct Frame {
        std::array<std::byte, kHeaderBytes> header;
        Channel channel = Channel::scheduler;
        sched::Rank rank = 0;
        Bytes bytes;
        std::size_t sent = 0;  ///< of header and bytes together
    };

    bool write_some();
    bool read_some();
    bool write_frame(Frame& frame);
    void cut();

    int descriptor_;
    bool closed_ = false;
    std::deque<Frame> outgoing_;
    std::size_t outgoing_bytes_ = 0;
    Bytes incoming_;                 ///< bytes that are no whole frame yet
    std::size_t used_ = 0;           ///< of incoming_, cut already
    std::size_t arrived_bytes_ = 0;  ///< of frames that nobody has taken
    std::map<Channel, std::deque<sched::Parcel>> arrived_;
};

}  // namespace memcap::agent
