// Mapped files, memory of the node, or bytes from another rank.
#include "app/weight_loading.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/models/registry.hpp"

namespace memcap::app {

using config::WeightsChoice;

std::uint64_t weights_bytes(const std::filesystem::path& folder) {
    std::uint64_t total = 0;
    for (const auto& file : hub::weight_files(folder)) {
        std::error_code problem;
        const auto size = std::filesystem::file_size(file, problem);
        if (!problem) total += size;
    }
    return total;
}

WeightsChoice settled(WeightsChoice choice, std::int32_t nodes, std::uint64_t size_bytes) {
    if (choice != WeightsChoice::automatic) return choice;
    return nodes > 1 && size_bytes >= kBroadcastBytes ? WeightsChoice::broadcast : WeightsChoice::per_rank;
}

void WeightLoader::require_unchanged(const LoadedModel& loaded, const ModelSource& source) {
    if (const auto used = loaded.files.lock()) hub::require_unchanged(*used, source.identity, hashes_);
}

LoadedModel WeightLoader::load(const ModelSource& source, Precision precision, at::Device device,
                               const std::function<bool()>& cancelled) {
    const double start_s = monotonic_s();
    const auto config = hub::load_config(source.folder, source.identity);
    const Request request{source, config, precision, device};
    weights::WeightTimes times;
    times.model = source.folder;
    times.size_bytes = weights_bytes(source.folder);
    LoadedModel loaded;
    switch (settled(choice_, nodes_, times.size_bytes)) {
        case WeightsChoice::broadcast:
            loaded = load_sent(request, cancelled, times);
            break;
        case WeightsChoice::per_node:
            loaded = load_once_a_node(request, times);
            break;
        case WeightsChoice::automatic:
        case WeightsChoice::per_rank:
            loaded = load_read(request);
            times.upload_s = monotonic_s() - start_s;
            break;
    }
    log::info(fmt::format("loaded {} as {} in {:.2f} s ({} bytes {}, {:.2f} s reading, {:.2f} s onto {})",
                          source.folder, to_string(precision), monotonic_s() - start_s, times.size_bytes,
                          weights::to_string(times.way), times.read_s, times.upload_s, device.str()));
    exchange_.report(std::move(times));
    return loaded;
}

LoadedModel WeightLoader::load_read(const Request& request) {
    return load_checked(request, hub::WeightFiles::open(request.source.folder));
}

LoadedModel WeightLoader::load_checked(const Request& request, hub::WeightFiles files) {
    hub::require_identity(files, request.source.identity, hashes_);
    return build(request, std::move(files));
}

LoadedModel WeightLoader::build(const Request& request, hub::WeightFiles files) {
    const auto kept = std::make_shared<hub::WeightFiles>(std::move(files));
    LoadedModel loaded{.model = models::load(request.config, kept, request.precision, request.device),
                       .files = kept};
    hub::require_unchanged(*kept, request.source.identity, hashes_);
    return loaded;
}

LoadedModel WeightLoader::load_sent(const Request& request, const std::function<bool()>& cancelled,
                                    weights::WeightTimes& times) {
    const std::string& folder = request.source.folder;
    const weights::Obtained obtained =
        exchange_.obtain({.model = folder,
                          .files = hub::weight_files(folder),
                          .known = request.source.identity.files,
                          .device = request.device.is_cuda() ? static_cast<int>(request.device.index()) : -1},
                         cancelled);
    times.way = obtained.way;
    double start_s = monotonic_s();
    LoadedModel loaded;
    if (obtained.memory) {
        try {
            // Whoever sent them has checked them; see weights::ChunkReader.
            loaded = build(request, hub::WeightFiles::over(folder, obtained.memory));
        } catch (const TransportError&) {
            // The exchange has said why.
            times.way = weights::WeightWay::fallen_back;
            start_s = monotonic_s();
        }
    } else {
        log::info(fmt::format("{} is read here: {}", folder, obtained.reason));
    }
    if (!loaded.model) loaded = load_read(request);
    times.upload_s = monotonic_s() - start_s;
    exchange_.settle(cancelled);
    return loaded;
}

LoadedModel WeightLoader::load_once_a_node(const Request& request, weights::WeightTimes& times) {
    const std::string& folder = request.source.folder;
    const double start_s = monotonic_s();
    auto memory = hub::read_once_a_node(folder);
    const double read_s = monotonic_s();
    auto loaded = load_checked(request, hub::WeightFiles::over(folder, std::move(memory)));
    times.way = weights::WeightWay::shared;
    times.read_s = read_s - start_s;
    times.upload_s = monotonic_s() - read_s;
    return loaded;
}

std::string weights_json(const std::vector<weights::WeightTimes>& reports) {
    struct Row {
        std::uint64_t ranks = 0;
        weights::WeightTimes longest;
    };
    std::map<std::pair<std::string, weights::WeightWay>, Row> rows;
    for (const auto& times : reports) {
        Row& row = rows[{times.model, times.way}];
        // A rank that sends or receives tells of the transfer and of its own model.
        row.ranks += times.broadcast_s > 0.0 ? 0 : 1;
        row.longest.size_bytes = std::max(row.longest.size_bytes, times.size_bytes);
        row.longest.read_s = std::max(row.longest.read_s, times.read_s);
        row.longest.broadcast_s = std::max(row.longest.broadcast_s, times.broadcast_s);
        row.longest.upload_s = std::max(row.longest.upload_s, times.upload_s);
    }
    auto list = nlohmann::json::array();
    for (const auto& [key, row] : rows) {
        list.push_back({{"model", key.first},
                        {"way", weights::to_string(key.second)},
                        {"loads", row.ranks},
                        {"bytes", row.longest.size_bytes},
                        {"longest_read_s", row.longest.read_s},
                        {"longest_broadcast_s", row.longest.broadcast_s},
                        {"longest_upload_s", row.longest.upload_s}});
    }
    return list.dump();
}

}  // namespace memcap::app
