// Byte strings over a communicator of their own; the only traffic on it.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "mpi/c_api.hpp"
#include "mpi/post.hpp"

namespace memcap::mpi {

/// Never waits in MPI: sends are MPI_Isend, receives MPI_Improbe and MPI_Imrecv, so a rank that dies in the
/// middle of a parcel stops nobody. Parcels up to 2 GiB.
class MpiPost final : public Post {
  public:
    /// Collective over `parent`.
    explicit MpiPost(MPI_Comm parent);
    ~MpiPost() override;
    MpiPost(const MpiPost&) = delete;
    MpiPost& operator=(const MpiPost&) = delete;

    void send(Rank to, Bytes bytes) override;
    std::optional<Parcel> poll() override;
    std::size_t unsent(Rank to) override;
    bool flush(double timeout_s) override;
    Rank rank() const override { return rank_; }
    Rank size() const override { return size_; }

  private:
    struct Receiving {
        Rank from = 0;
        Bytes buffer;
        MPI_Request request = MPI_REQUEST_NULL;
    };

    void complete_sends();
    void start_receives();
    std::optional<Parcel> finish_receive();
    void fail(Rank rank, const std::string& doing, int code);

    MPI_Comm comm_ = MPI_COMM_NULL;
    Rank rank_ = 0;
    Rank size_ = 1;
    // Entry i of each belongs to the same send; MPI_Testsome wants the requests side by side.
    std::vector<MPI_Request> send_requests_;
    std::vector<Bytes> send_buffers_;
    std::vector<Rank> send_ranks_;
    std::deque<Receiving> receiving_;
    std::deque<Parcel> failures_;
};

}  // namespace memcap::mpi
