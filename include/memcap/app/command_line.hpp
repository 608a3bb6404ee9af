// Entry of the program: from arguments to a subcommand and an exit status.
#pragma once

namespace memcap::app {

/// Exit statuses of interface.md.
inline constexpr int kDone = 0;
inline constexpr int kDefect = 1;
inline constexpr int kUsage = 2;
inline constexpr int kTrialsFailed = 3;
inline constexpr int kWorkRemains = 75;

/// Runs the subcommand that `argv` names; catches everything and returns the exit status.
int run_command_line(int argc, char** argv);

}  // namespace memcap::app
