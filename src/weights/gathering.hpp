// How groups form: the coordinator's state, without clock or messages.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weights/exchange_message.hpp"

namespace memcap::weights {

/// Collects the ranks that ask for the same key. A group is closed when all ranks of the run are in it, or
/// `gather_s` after the first one asked; who asks later is alone.
class Gathering {
  public:
    using Answers = std::vector<std::pair<sched::Rank, ExchangeMessage>>;

    Gathering(sched::Rank ranks, double gather_s) : ranks_(ranks), gather_s_(gather_s) {}

    /// A rank asks; its answer is here or comes from due().
    Answers want(sched::Rank from, const exchange::Want& want, double now_s);
    /// What is to be told at this time.
    Answers due(double now_s);

  private:
    struct Open {
        std::vector<Member> members;
        double since_s = 0.0;
    };

    Answers close(const std::string& key);

    sched::Rank ranks_;
    double gather_s_;
    std::uint64_t groups_ = 0;
    std::map<std::string, Open> open_;
    std::set<std::string> closed_;
};

/// A rank's place in a group that has formed. The first member of each node takes part in the transfer, in a
/// chain along the ranks; the first of these is the leader.
struct GroupPlace {
    enum class Role { leader, receiver, beside_leader, beside_receiver };

    Role role = Role::leader;
    std::vector<sched::Rank> chain;       ///< who takes part
    std::size_t position = 0;             ///< of this rank, or of the one of its node, in the chain
    std::vector<sched::Rank> neighbours;  ///< other members of this rank's node
    bool by_device = false;  ///< all who take part have GPUs, all different: NCCL can connect them

    /// The next in the chain, or -1.
    sched::Rank next() const { return position + 1 < chain.size() ? chain[position + 1] : -1; }
    /// The one before in the chain, or -1.
    sched::Rank previous() const { return position > 0 ? chain[position - 1] : -1; }
};

GroupPlace place_in(const exchange::Formed& formed, sched::Rank self);

}  // namespace memcap::weights
