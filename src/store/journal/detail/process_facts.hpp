// What the system tells of any process.
#pragma once

#include <cstdint>
#include <optional>

namespace memcap::store::detail {

struct ProcessFacts {
    std::uint64_t start = 0;  ///< in ticks since boot: with its number, what tells it from a later one
    bool has_ended = false;   ///< its parent has not asked for its exit status yet
};

/// Nothing if there is no such process here, or the system does not say.
std::optional<ProcessFacts> process_facts(std::int64_t pid);

}  // namespace memcap::store::detail
