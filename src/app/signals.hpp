// Signals that ask a run to end early: INT, TERM and USR1 (a batch system's warning).
#pragma once

#include <atomic>
#include <string>

namespace memcap::app {

/// Set by the handlers; handlers may run any number of times. A second INT ends the process at once.
const std::atomic<bool>& install_stop_signals();

/// The last of them that came, e.g. "SIGINT"; empty if none came.
std::string stop_signal_name();

}  // namespace memcap::app
