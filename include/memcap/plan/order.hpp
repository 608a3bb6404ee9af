// The order in which trials are handed out, and which of them belong on the same worker.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memcap/plan/expand.hpp"

namespace memcap::plan {

/// Equal for trials that run on the same loaded weights: same model content, same precision. Never 0.
std::uint64_t affinity_key(const ModelFacts& model, Precision precision);

/// Places of the plan's trials in the order to hand them out: one affinity group after the other, the group
/// with the costliest trial first; in a group the most positions first (neighbours fill the same shapes, and
/// what is left at the end is short), then the most steps, then the order of the plan. `models` are those
/// that the plan was made for.
std::vector<std::uint32_t> lease_order(const Plan& plan, std::span<const ModelFacts> models);

}  // namespace memcap::plan
