// One start of a run: this rank among the others, and the agent that computes for it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/compute_place.hpp"
#include "memcap/agent/agent.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/mpi/session.hpp"
#include "memcap/sched/manager.hpp"

namespace memcap::app {

/// This rank among the others; a plain start is a run of one without MPI.
class Launch {
  public:
    /// Collective where mpirun or srun has started several ranks.
    Launch();

    const ComputePlace& place() const noexcept { return place_; }
    const std::vector<std::string>& hosts() const noexcept { return hosts_; }  ///< of all ranks
    bool uses_mpi() const noexcept { return session_ != nullptr; }

    /// Why these ranks cannot run together; if so, the only call left on any of them is leave().
    const std::optional<ErrorText>& conflict() const noexcept { return conflict_; }

    /// On rank 0 before manage(): tells the others what to compute on. Throws UsageError unless all nodes see
    /// this run folder, or its place where it is not there yet.
    void begin(const std::filesystem::path& folder, DeviceKind device);
    /// Runs trials on rank 0: the manager, and this rank's agent beside it.
    sched::RunOutcome manage(sched::ManagerSetup setup, const std::atomic<bool>& stop);
    /// What the other ranks do until the run is over; the exit status.
    int compute(const std::atomic<bool>& stop);
    /// Sends the other ranks home from rank 0 when a run ends before it has begun.
    void dismiss();
    /// The last call on each rank.
    int leave(int status);

  private:
    void meet();
    std::vector<std::string> exchange_first_words(const std::filesystem::path& token, DeviceKind device);
    std::unique_ptr<agent::Agent> make_agent(sched::Transport& manager);
    void finish(agent::Agent& agent);

    std::unique_ptr<mpi::Session> session_;
    ComputePlace place_;
    std::vector<std::string> hosts_;
    std::vector<std::string> nodes_;  ///< of all ranks; empty without MPI
    std::optional<ErrorText> conflict_;
    bool has_begun_ = false;
    std::unique_ptr<sched::Transport> transport_;  ///< of the scheduler; null for a run of one
    std::unique_ptr<sched::Transport> exchange_;   ///< of the weight exchange; null for a run of one
};

}  // namespace memcap::app
