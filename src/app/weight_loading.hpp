// Models of one rank, with weights from where the experiment's `run.weights` says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/worker_setup.hpp"
#include "memcap/base/protocol.hpp"
#include "memcap/config/experiment.hpp"
#include "memcap/hub/model_identity.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/models/causal_lm.hpp"
#include "memcap/weights/weight_exchange.hpp"

namespace memcap::app {

/// From so many bytes of weights on, `auto` sends them from node to node.
inline constexpr std::uint64_t kBroadcastBytes = std::uint64_t{1} << 30U;

/// Bytes of the weight files of a model folder; those whose size cannot be told count nothing: loading will
/// say why.
std::uint64_t weights_bytes(const std::filesystem::path& folder);

/// What `auto` means for a model: broadcast where several nodes would each read a large one, else per_rank.
config::WeightsChoice settled(config::WeightsChoice choice, std::int32_t nodes, std::uint64_t size_bytes);

/// A model, and the files that tensors of it may lie in.
struct LoadedModel {
    std::unique_ptr<models::CausalLM> model;
    std::weak_ptr<hub::WeightFiles> files;  ///< gone where no tensor lies in them
};

class WeightLoader {
  public:
    /// `exchange` must outlive this; `nodes` are those of the run.
    WeightLoader(config::WeightsChoice choice, std::int32_t nodes, weights::WeightExchange& exchange)
        : choice_(choice), nodes_(nodes), exchange_(exchange) {}

    /// Loads a model; `cancelled` ends waiting for other ranks, not the loading. Says in the log and
    /// to the exchange how long it took. What is loaded is what the source says, byte for byte: throws
    /// DataError for other bytes, for files that change meanwhile, and as models::load does.
    LoadedModel load(const ModelSource& source, Precision precision, at::Device device,
                     const std::function<bool()>& cancelled);

    /// Throws DataError if a file that tensors of the model lie in is not what was loaded any more.
    void require_unchanged(const LoadedModel& loaded, const ModelSource& source);

  private:
    /// What all ways of loading need.
    struct Request {
        const ModelSource& source;
        const hub::ModelConfig& config;
        Precision precision;
        at::Device device;
    };

    LoadedModel load_read(const Request& request);
    LoadedModel load_sent(const Request& request, const std::function<bool()>& cancelled,
                          weights::WeightTimes& times);
    LoadedModel load_once_a_node(const Request& request, weights::WeightTimes& times);
    LoadedModel load_checked(const Request& request, hub::WeightFiles files);
    LoadedModel build(const Request& request, hub::WeightFiles files);

    config::WeightsChoice choice_;
    std::int32_t nodes_;
    weights::WeightExchange& exchange_;
    hub::NodeHashes hashes_;
};

/// What ranks have reported, a line a model and way: ranks, bytes and the longest times, as JSON.
std::string weights_json(const std::vector<weights::WeightTimes>& reports);

}  // namespace memcap::app
