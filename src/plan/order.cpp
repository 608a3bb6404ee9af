// Affinity groups, and the sort within and between them.
#include "memcap/plan/order.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "memcap/base/bytes.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/plan/cost.hpp"

namespace memcap::plan {

std::uint64_t affinity_key(const ModelFacts& model, Precision precision) {
    ByteWriter writer;
    writer.text(model.config_sha256);
    writer.text(model.weights_sha256);
    // Models whose weights were not hashed are told apart by name.
    if (model.weights_sha256.empty()) writer.text(model.name);
    writer.text(to_string(precision));
    return std::max<std::uint64_t>(hash64(writer.bytes()), 1);
}

std::vector<std::size_t> lease_order(std::span<const Trial> trials, std::span<const ModelFacts> models) {
    std::unordered_map<std::uint64_t, double> costliest;
    std::vector<std::uint64_t> group(trials.size());
    for (std::size_t i = 0; i < trials.size(); ++i) {
        const ModelFacts& model = models[static_cast<std::size_t>(trials[i].model)];
        group[i] = affinity_key(model, trials[i].precision);
        double& cost = costliest[group[i]];
        cost = std::max(cost, max_flops(model, trials[i]));
    }
    std::vector<std::size_t> order(trials.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto rank = [&](std::size_t i) {
        return std::tuple(-costliest.at(group[i]), group[i], -trials[i].positions(),
                          -trials[i].protocol.max_steps, i);
    };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
    return order;
}

}  // namespace memcap::plan
