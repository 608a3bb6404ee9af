// A rank's agent: starts the process that computes, passes on what it and the manager say, and starts it
// again when it crashes or hangs. What can crash (libtorch, CUDA) lives in that process, below MPI.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memcap/agent/child_process.hpp"
#include "memcap/sched/transport.hpp"

namespace memcap::agent {

struct AgentOptions {
    double silence_s = 60.0;     ///< a process that says nothing for so long is killed; it reports each 2 s
    double most_pause_s = 30.0;  ///< between a crash and the next start; the first one follows at once
    std::uint32_t most_crashes = 10;   ///< in a row without a result between: then the rank gives up
    double manager_silence_s = 660.0;  ///< without a word the manager is lost; it answers each report
    double goodbye_s = 5.0;            ///< from its last word, or the manager's, to the end of the process
};

/// Driven by calls of step() from the thread that owns the transports.
class Agent {
  public:
    struct Setup {
        Command command;                       ///< of the compute process
        Bytes place;                           ///< its first word to it, each time it starts
        sched::Transport* manager = nullptr;   ///< leads to the manager as rank 0
        sched::Transport* exchange = nullptr;  ///< of the weight exchange; null if there is none
        AgentOptions options;
    };

    /// Starts the compute process at the first step.
    explicit Agent(Setup setup);
    ~Agent();
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    /// Passes on what came, and watches over the process; true if there was something to do.
    bool step(double now_s);
    /// This rank is to end early: the process gives its trials back, and no other one is started.
    void stop();
    /// The process has said goodbye and is gone, or there is nobody to say it to.
    bool ended() const noexcept { return ended_; }
    /// Of the process, or -1 while there is none.
    int pid() const noexcept;
    /// The manager cannot be reached any more.
    bool manager_lost() const noexcept { return manager_lost_; }
    /// Lets parcels of the weight exchange leave that others wait for; up to `timeout_s`.
    void close(double timeout_s);

  private:
    void start(double now_s);
    bool pass_down(double now_s);
    bool pass_up(double now_s);
    bool pass_exchange();
    void tell_delivered();
    void watch(double now_s);
    void crash(const std::string& reason, double now_s);
    void renew(double now_s);
    void give_up(const std::string& reason);
    void lose_manager(const std::string& reason);
    void end();

    Setup setup_;
    std::unique_ptr<ChildProcess> child_;
    double heard_s_ = 0.0;  ///< the process
    double heard_manager_s_ = 0.0;
    double stepped_s_ = 0.0;
    std::optional<double> start_s_ = 0.0;  ///< when the next process starts; none while one runs or none will
    std::uint32_t crashes_ = 0;            ///< without a result between
    std::string trouble_;                  ///< what the process said about its end
    std::optional<double> closed_s_;       ///< since when nothing comes from the process any more
    std::optional<double> leave_s_;        ///< since when it ought to end
    bool stopping_ = false;
    bool run_is_over_ = false;
    bool said_goodbye_ = false;
    bool manager_lost_ = false;
    bool ended_ = false;
    std::map<sched::Rank, std::size_t> passed_;  ///< parcels of the exchange whose leaving was not told yet
};

}  // namespace memcap::agent
