// The process's membership in an MPI run.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/sched/transport.hpp"

namespace memcap::mpi {

/// One MPI run, from MPI_Init_thread (funneled) to the end; at most one a process, on the main thread.
class Session {
  public:
    /// True if mpirun or srun started this process as a rank of several, or does not say of how many, judged
    /// by the environment alone; a process that was not must never make a Session. Throws UsageError for a
    /// lone process inside a Slurm job or step of several tasks.
    static bool launched_by_mpi();

    /// Throws UsageError if the launcher and this MPI do not understand each other (each rank would be
    /// alone).
    Session();
    /// Finalizes MPI, but aborts all ranks if an exception is passing: the others would wait for ever.
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    int rank() const noexcept;
    int size() const noexcept;
    int local_rank() const noexcept;  ///< among the ranks of this host
    const std::string& host() const noexcept;

    /// Every rank's text in rank order, on every rank. Collective: only at the start, while all ranks live.
    std::vector<std::string> gather(std::string_view text);

    /// A transport between all ranks with a communicator of its own. Collective: only at the start. The
    /// session must outlive it.
    std::unique_ptr<sched::Transport> make_transport();

    /// From now on at least one rank is gone, so nothing may wait for all of them.
    void rank_was_lost() noexcept;
    /// The last call on a rank: finalizes and returns `status`; if a rank was lost, ends this process at once
    /// with `status` instead, without destructors. Output must have been flushed.
    int leave(int status);
    /// Ends all ranks with `status`.
    [[noreturn]] void abort(int status) noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace memcap::mpi
