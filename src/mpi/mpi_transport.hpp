// Byte strings over a communicator of their own; the only traffic on it.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "memcap/sched/transport.hpp"
#include "mpi/c_api.hpp"

namespace memcap::mpi {

/// Never waits in MPI: sends are MPI_Isend, receives MPI_Improbe and MPI_Imrecv, so a rank that dies in the
/// middle of a parcel stops nobody. Only so many parcels to one rank are in MPI's hands at a time, the rest
/// wait here: what is on its way from a rank that stalls fills no list of the receiver. Parcels up to 2 GiB.
class MpiTransport final : public sched::Transport {
  public:
    /// Collective over `parent`.
    explicit MpiTransport(MPI_Comm parent);
    ~MpiTransport() override;
    MpiTransport(const MpiTransport&) = delete;
    MpiTransport& operator=(const MpiTransport&) = delete;

    void send(sched::Rank to, Bytes bytes) override;
    std::optional<sched::Parcel> poll() override;
    std::size_t unsent(sched::Rank to) override;
    bool flush(double timeout_s) override;
    sched::Rank rank() const override { return rank_; }
    sched::Rank size() const override { return size_; }

  private:
    struct Receiving {
        sched::Rank from = 0;
        double since_s = 0.0;
        Bytes buffer;
        MPI_Request request = MPI_REQUEST_NULL;
    };

    /// What is to go to a rank.
    struct Outgoing {
        std::size_t underway = 0;  ///< parcels in MPI's hands
        std::deque<Bytes> waiting;
    };

    void start_sends(sched::Rank to);
    void complete_sends();
    std::size_t young_receives() const;
    void start_receives();
    std::optional<sched::Parcel> finish_receive();
    void fail(sched::Rank rank, const std::string& doing, int code);

    MPI_Comm comm_ = MPI_COMM_NULL;
    sched::Rank rank_ = 0;
    sched::Rank size_ = 1;
    // Entry i of each belongs to the same send; MPI_Testsome wants the requests side by side.
    std::vector<MPI_Request> send_requests_;
    std::vector<Bytes> send_buffers_;
    std::vector<sched::Rank> send_ranks_;
    std::map<sched::Rank, Outgoing> outgoing_;  ///< of the ranks to which something is to go
    std::deque<Receiving> receiving_;
    std::deque<sched::Parcel> failures_;
};

}  // namespace memcap::mpi
