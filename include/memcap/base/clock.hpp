// Time: a monotonic clock for durations and UTC text for records.
#pragma once

#include <ctime>
#include <string>

namespace memcap {

/// Seconds on a clock that never jumps; only differences mean anything.
double monotonic_s();

/// Seconds since 1970 in UTC by this host's clock, which may be set meanwhile.
double utc_s();

/// Now as ISO 8601 in UTC with seconds, e.g. 2026-03-01T12:00:00Z.
std::string utc_now();
/// A time of the system's clock in the same form.
std::string utc_text(std::time_t seconds);

}  // namespace memcap
