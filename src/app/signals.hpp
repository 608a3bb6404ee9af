// Signals that ask a run to end early: INT, TERM and USR1 (a batch system's warning).
#pragma once

#include <atomic>

namespace memcap::app {

/// Set by the handlers; handlers may run any number of times. A second INT ends the process at once.
const std::atomic<bool>& install_stop_signals();

}  // namespace memcap::app
