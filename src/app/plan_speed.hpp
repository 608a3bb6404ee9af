// The device that a plan's hours are for, and how fast it is: measured before, timed now, or assumed.
#pragma once

#include <string>

#include "app/preparation.hpp"
#include "memcap/plan/summary.hpp"

namespace memcap::app {

struct PlannedDevice {
    std::string name;
    plan::Machine machine;  ///< its speed() refers to the preparation and the watch
};

/// Chooses from what is known:
/// * `bench_file` names a result of memcap bench: that device, at the speed of the nearest measurement;
/// * all weights are here: this device, by a stored measurement that is near, else by timed steps;
/// * this device was measured before: its nearest measurement, however far;
/// * else an assumed GPU.
/// An empty `bench_file` stands for the stored results, "none" for no results. Throws DataError for a file
/// that is not usable. `preparation` and `watch`, which timed steps are shown by, must outlive the result.
PlannedDevice planned_device(const Preparation& preparation, const std::string& bench_file,
                             PreparationWatch& watch);

}  // namespace memcap::app
