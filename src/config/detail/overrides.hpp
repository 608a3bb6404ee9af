// Changes to an experiment by --set key.path=value.
#pragma once

#include <span>
#include <string>

#include "config/detail/tree.hpp"

namespace memcap::config::detail {

/// Puts each override's value into the tree, the last of equal ones winning. Keys that are not there yet are
/// added, maps on the way too; items of lists are named by their number from 0.
void apply_overrides(Node& root, std::span<const std::string> overrides, Diagnostics& diagnostics);

}  // namespace memcap::config::detail
