// One rank's part in one group: what it sends on, what it receives, and its deadlines.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "memcap/sched/transport.hpp"
#include "memcap/weights/weight_exchange.hpp"
#include "weights/arrival.hpp"
#include "weights/chunk_reader.hpp"
#include "weights/device_mover.hpp"
#include "weights/gathering.hpp"

namespace memcap::weights {

/// What a rank that asked is told.
struct Answer {
    Obtained obtained;
    std::optional<exchange::Arrived> joined;  ///< memory of a neighbour, to be joined by who asked
};

/// Moved by step() and by messages, all on the polling thread; never waits.
class Transfer {
  public:
    struct Setup {
        WeightRequest request;
        std::function<bool()> cancelled;     ///< for those who wait for the memory
        std::function<void(Answer)> answer;  ///< tells who asked; only the first call counts
        std::function<void(WeightTimes)> report;
        ExchangeOptions options;
        std::string node;
    };

    Transfer(const exchange::Formed& formed, Setup setup, sched::Transport& transport,
             const DeviceAccess& access, double now_s);

    void on_announce(exchange::Announce announce, double now_s);
    /// `parcel` are the chunk's bytes, which may be sent on as they are.
    void on_chunk(const exchange::Chunk& chunk, Bytes& parcel, double now_s);
    void on_progress(double now_s) { heard_s_ = now_s; }
    void on_arrived(const exchange::Arrived& arrived, double now_s);
    /// Another rank of the node has joined the memory: it need not be held for it any more.
    void on_joined() { ++joined_; }
    /// The computing thread has joined the memory that on_arrived() told it of.
    void on_own_join();
    /// A member says, or the transport finds, that it cannot go on.
    void on_abort(sched::Rank from, const std::string& reason);
    /// True if something moved.
    bool step(double now_s);
    /// Ends this rank's part and tells the others.
    void give_up(const std::string& reason);

    /// Nothing is left to do.
    bool over() const noexcept { return over_; }
    /// Its chunks travel between GPUs.
    bool by_device() const noexcept { return place_.by_device; }

  private:
    void start_leading();
    bool lead(double now_s);
    bool relay(double now_s);
    bool send_from_reader();
    bool send_from_arrival();
    void start_mover(const std::string& nccl_id, std::size_t chunk_bytes);
    void watch_mover(double now_s);
    void watch_sending(double now_s);
    void finish_leading(double now_s);
    void finish_receiving(double now_s);
    void tell_neighbours(double now_s);
    void fail(const std::string& reason, sched::Rank except);
    void fall_back(const std::string& reason);
    void send(sched::Rank to, const ExchangeMessage& message);
    bool has_room(sched::Rank to) { return transport_.unsent(to) < setup_.options.window; }

    std::uint64_t group_;
    GroupPlace place_;
    Setup setup_;
    sched::Transport& transport_;
    DeviceAccess access_;
    double formed_s_;
    double heard_s_;  ///< last sign of life of the rank that this one receives from
    double moved_s_;  ///< last time that something left for the next one
    double told_s_;   ///< last progress told to the neighbours
    std::size_t told_chunks_ = 0;
    std::size_t joined_ = 0;
    std::size_t unsent_ = 0;
    std::size_t sent_ = 0;
    bool announced_ = false;
    bool sending_ = false;
    bool received_ = false;
    bool over_ = false;
    std::unique_ptr<ChunkReader> reader_;
    std::shared_ptr<Arrival> arrival_;
    // Last, since its thread uses the two above.
    std::unique_ptr<DeviceMover> mover_;
};

}  // namespace memcap::weights
