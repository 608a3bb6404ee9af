// Affinity groups, and the sort within and between them.
#include "memcap/plan/order.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

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

namespace {

/// The affinity groups of a plan, by model and precision.
class Groups {
  public:
    Groups(const Plan& plan, std::span<const ModelFacts> models) : plan_(plan) {
        for (const PlannedTrial& trial : plan.trials) {
            const ModelFacts& model = models[plan.model_of(trial)];
            const auto [known, is_new] = affinities_.try_emplace(key(trial), 0);
            if (is_new) known->second = affinity_key(model, trial.precision);
            double& cost = costliest_[known->second];
            cost = std::max(cost, max_flops(model, plan.shape_of(trial)));
        }
        std::vector<std::pair<double, std::uint64_t>> order;
        for (const auto& [affinity, cost] : costliest_) order.emplace_back(-cost, affinity);
        std::sort(order.begin(), order.end());
        for (const auto& [cost, affinity] : order)
            ranks_.emplace(affinity, static_cast<std::int32_t>(ranks_.size()));
    }

    /// The place of a trial's group among the groups.
    std::int32_t rank(const PlannedTrial& trial) const { return ranks_.at(affinities_.at(key(trial))); }

  private:
    using Key = std::pair<std::size_t, Precision>;
    Key key(const PlannedTrial& trial) const { return {plan_.model_of(trial), trial.precision}; }

    const Plan& plan_;
    std::map<Key, std::uint64_t> affinities_;
    std::map<std::uint64_t, double> costliest_;
    std::map<std::uint64_t, std::int32_t> ranks_;
};

}  // namespace

std::vector<std::uint32_t> lease_order(const Plan& plan, std::span<const ModelFacts> models) {
    const Groups groups(plan, models);
    std::vector<std::tuple<std::int32_t, std::int32_t, std::int32_t, std::uint32_t>> ranked;
    ranked.reserve(plan.trials.size());
    for (const PlannedTrial& trial : plan.trials) {
        const TrialShape shape = plan.shape_of(trial);
        ranked.emplace_back(groups.rank(trial), -shape.positions(), -shape.max_steps,
                            static_cast<std::uint32_t>(ranked.size()));
    }
    std::sort(ranked.begin(), ranked.end());
    std::vector<std::uint32_t> order;
    order.reserve(ranked.size());
    for (const auto& rank : ranked) order.push_back(std::get<3>(rank));
    return order;
}

}  // namespace memcap::plan
