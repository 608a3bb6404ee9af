// One of several disjoint parts of an experiment, each run by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "memcap/base/ids.hpp"

namespace memcap {

/// The trials whose id falls on `index` of `count`. Ids are hashes of what a trial is, so a trial's shard
/// depends neither on the order of a plan nor on what else is in it: a changed experiment leaves every
/// finished trial in its shard. Shards cost alike, up to a part of about 1 / sqrt(trials of a shard).
struct Shard {
    std::uint32_t index = 0;  ///< from 0, as Slurm counts the tasks of an array
    std::uint32_t count = 1;

    bool operator==(const Shard&) const = default;
    bool holds(const Id128& trial) const { return of(trial) == index; }
    /// The shard that a trial falls on.
    std::uint32_t of(const Id128& trial) const { return static_cast<std::uint32_t>(trial.low % count); }
    /// "0/3"
    std::string text() const { return std::to_string(index) + "/" + std::to_string(count); }
};

/// Parses what text() gives; nothing for anything else, index >= count included.
std::optional<Shard> parse_shard(std::string_view text);

}  // namespace memcap
