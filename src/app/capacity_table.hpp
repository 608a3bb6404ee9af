// The table at the end of a run: what each model, corpus and K held.
#pragma once

#include <span>
#include <string>

#include "memcap/metrics/statistics.hpp"

namespace memcap::app {

/// One line a cell of /statistics, with a head line and aligned columns; "-" for what is not known, so for
/// the capacities of a cell with open trials.
std::string capacity_table(std::span<const metrics::StatisticsRow> rows);

}  // namespace memcap::app
