// A trial by the first digits of its id.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "memcap/base/ids.hpp"

namespace memcap::app {

/// The only one of these ids that begins with `beginning`; equal ones count once. Nothing if none does.
/// Throws UsageError if several do.
std::optional<Id128> find_trial(const std::vector<Id128>& ids, const std::string& beginning);

}  // namespace memcap::app
