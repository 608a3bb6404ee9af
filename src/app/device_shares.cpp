// Counting the ranks that have said what they compute on.
#include "app/device_shares.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "memcap/base/contracts.hpp"

namespace memcap::app {

std::optional<std::int32_t> DeviceShares::sharers(sched::Rank rank, const sched::WorkerFacts& facts,
                                                  double now_s) {
    MEMCAP_EXPECT(static_cast<std::size_t>(rank) < hosts_.size());
    const std::string& name = hosts_[static_cast<std::size_t>(rank)];
    const std::ptrdiff_t ranks = std::ranges::count(hosts_, name);
    Host& host = known_[name];
    if (host.devices.empty()) host.since_s = now_s;
    host.devices[rank] = facts.device_id;
    if (facts.device_id.empty()) return static_cast<std::int32_t>(ranks);
    if (std::ssize(host.devices) < ranks && now_s - host.since_s < kPatience_s) return std::nullopt;
    if (!std::exchange(host.is_told, true)) warn(name, host);
    return static_cast<std::int32_t>(std::ranges::count_if(
        host.devices, [&](const auto& other) { return other.second == facts.device_id; }));
}

void DeviceShares::warn(const std::string& name, Host& host) {
    std::set<std::string> gpus;
    std::size_t ranks = 0;
    for (const auto& [rank, device] : host.devices) {
        if (device.empty()) continue;
        gpus.insert(device);
        ++ranks;
    }
    if (gpus.size() == ranks) return;
    warnings_.push_back(fmt::format(
        "{} ranks of {} compute on {} GPU{} ({}): each takes its share of the memory, and they wait "
        "for each other. Start as many ranks on a node as it has GPUs (--ntasks-per-node), and let "
        "each see all of them, or one of its own (--gpus-per-task=1)",
        ranks, name, gpus.size(), gpus.size() == 1 ? "" : "s", fmt::join(gpus, ", ")));
}

std::vector<std::string> DeviceShares::take_warnings() {
    return std::exchange(warnings_, {});
}

}  // namespace memcap::app
