// Models of one rank, with weights from where the experiment's `run.weights` says.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "memcap/base/protocol.hpp"
#include "memcap/config/experiment.hpp"
#include "memcap/models/causal_lm.hpp"
#include "memcap/mpi/weight_exchange.hpp"

namespace memcap::app {

/// From so many bytes of weights on, `auto` sends them from node to node.
inline constexpr std::uint64_t kBroadcastBytes = std::uint64_t{1} << 30U;

/// What `auto` means for a model: broadcast where several nodes would each read a large one, else per_rank.
config::WeightsChoice settled(config::WeightsChoice choice, std::int32_t nodes, std::uint64_t size_bytes);

class WeightLoader {
  public:
    /// `exchange` must outlive this; `nodes` are those of the run.
    WeightLoader(config::WeightsChoice choice, std::int32_t nodes, mpi::WeightExchange& exchange)
        : choice_(choice), nodes_(nodes), exchange_(exchange) {}

    /// Loads a model; `cancelled` ends waiting for other ranks, not the loading. Says in the log and to rank
    /// 0 how long it took. Throws DataError as models::load does.
    std::unique_ptr<models::CausalLM> load(const std::string& folder, Precision precision, at::Device device,
                                           const std::function<bool()>& cancelled);

  private:
    std::unique_ptr<models::CausalLM> load_sent(const std::string& folder, Precision precision,
                                                at::Device device, const std::function<bool()>& cancelled,
                                                mpi::WeightTimes& times);
    std::unique_ptr<models::CausalLM> load_once_a_node(const std::string& folder, Precision precision,
                                                       at::Device device, mpi::WeightTimes& times);

    config::WeightsChoice choice_;
    std::int32_t nodes_;
    mpi::WeightExchange& exchange_;
};

/// What all ranks have reported, a line a model and way: ranks, bytes and the longest times, as JSON.
std::string weights_json(const std::vector<mpi::WeightTimes>& reports);

}  // namespace memcap::app
