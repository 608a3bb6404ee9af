// Opening, filling and closing of groups.
#include "weights/gathering.hpp"

#include <algorithm>

#include "memcap/base/contracts.hpp"

namespace memcap::weights {

Gathering::Answers Gathering::want(sched::Rank from, const exchange::Want& want, double now_s) {
    if (closed_.contains(want.key))
        return {{from, exchange::Alone{want.key, "its group had already formed"}}};
    auto [place, is_new] = open_.try_emplace(want.key);
    Open& open = place->second;
    if (is_new) open.since_s = now_s;
    const bool known =
        std::ranges::any_of(open.members, [from](const Member& member) { return member.rank == from; });
    if (!known) open.members.push_back({from, want.node, want.device});
    if (open.members.size() < static_cast<std::size_t>(ranks_)) return {};
    return close(want.key);
}

Gathering::Answers Gathering::due(double now_s) {
    std::vector<std::string> ripe;
    for (const auto& [key, open] : open_) {
        if (now_s - open.since_s >= gather_s_) ripe.push_back(key);
    }
    Answers answers;
    for (const auto& key : ripe) std::ranges::move(close(key), std::back_inserter(answers));
    return answers;
}

Gathering::Answers Gathering::close(const std::string& key) {
    std::vector<Member> members = std::move(open_.extract(key).mapped().members);
    closed_.insert(key);
    if (members.size() == 1) {
        return {{members.front().rank, exchange::Alone{key, "no other rank started on it in time"}}};
    }
    std::ranges::sort(members, {}, &Member::rank);
    const exchange::Formed formed{key, ++groups_, members};
    Answers answers;
    for (const auto& member : members) answers.emplace_back(member.rank, formed);
    return answers;
}

GroupPlace place_in(const exchange::Formed& formed, sched::Rank self) {
    const auto own =
        std::ranges::find_if(formed.members, [self](const Member& member) { return member.rank == self; });
    MEMCAP_EXPECT(own != formed.members.end());
    GroupPlace place;
    std::set<std::string> nodes;
    std::set<std::string> devices;
    place.by_device = true;
    for (const auto& member : formed.members) {
        if (member.node == own->node && member.rank != self) place.neighbours.push_back(member.rank);
        if (!nodes.insert(member.node).second) continue;
        if (member.node == own->node) place.position = place.chain.size();
        place.chain.push_back(member.rank);
        place.by_device = place.by_device && !member.device.empty() && devices.insert(member.device).second;
    }
    using enum GroupPlace::Role;
    const bool takes_part = place.chain[place.position] == self;
    if (place.position == 0) {
        place.role = takes_part ? leader : beside_leader;
    } else {
        place.role = takes_part ? receiver : beside_receiver;
    }
    return place;
}

}  // namespace memcap::weights
