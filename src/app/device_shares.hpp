// How many ranks compute on each device of a launch, by what the ranks say of their devices.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "memcap/sched/message.hpp"

namespace memcap::app {

/// The ranks of a host count together: the CPUs of a host are shared by all that compute on them, a GPU by
/// all that see its UUID, under whatever number.
class DeviceShares {
  public:
    /// How long a rank that has said what it computes on waits for the others of its host.
    static constexpr double kPatience_s = 20.0;

    /// Hosts by rank.
    explicit DeviceShares(std::vector<std::string> hosts) : hosts_(std::move(hosts)) {}

    /// How many ranks compute on the device of `rank`, itself included; nothing while others of its host may
    /// turn out to do so.
    std::optional<std::int32_t> sharers(sched::Rank rank, const sched::WorkerFacts& facts, double now_s);
    /// What to tell of a host whose ranks share GPUs; each once.
    std::vector<std::string> take_warnings();

  private:
    struct Host {
        std::map<sched::Rank, std::string> devices;  ///< of the ranks that have said so
        double since_s = 0.0;                        ///< when the first one has
        bool is_told = false;
    };

    void warn(const std::string& name, Host& host);

    std::vector<std::string> hosts_;
    std::map<std::string, Host> known_;
    std::vector<std::string> warnings_;
};

}  // namespace memcap::app
