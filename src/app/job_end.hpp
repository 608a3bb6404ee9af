// When the job ends that this launch is part of, and when the run has to end before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace memcap::app {

/// Seconds of a duration such as "90m", "4h" or "1d12h" (s, m, h, d). Throws UsageError.
double duration_s(std::string_view text);

/// The UTC second at which the job ends: what Slurm says (SLURM_JOB_END_TIME), or `limit_s` after
/// `started_utc_s`, whichever comes first; nothing where neither is known.
std::optional<double> job_end_utc_s(double started_utc_s, std::optional<double> limit_s);

/// How long before that a run of so many trials has to stop computing, to keep what is in the slots and make
/// its last results file.
double wind_up_s(std::uint64_t trials);

}  // namespace memcap::app
