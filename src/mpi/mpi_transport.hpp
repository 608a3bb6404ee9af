// The manager's and the workers' messages as parcels.
#pragma once

#include <optional>

#include "memcap/sched/transport.hpp"
#include "mpi/mpi_post.hpp"

namespace memcap::mpi {

/// Messages up to 2 GiB over a communicator of their own.
class MpiTransport final : public sched::Transport {
  public:
    /// Collective over `parent`.
    explicit MpiTransport(MPI_Comm parent) : post_(parent) {}

    void send(sched::Rank to, sched::Message message) override;
    std::optional<sched::Incoming> poll() override;
    sched::Rank rank() const override { return post_.rank(); }
    sched::Rank size() const override { return post_.size(); }
    bool flush(double timeout_s) override { return post_.flush(timeout_s); }

  private:
    MpiPost post_;
};

}  // namespace memcap::mpi
