// What asks a run to end early: INT, TERM, HUP and USR1 (a batch system's warning), and `memcap stop`.
#pragma once

#include <atomic>
#include <string>

namespace memcap::app {

/// Set by the handlers; handlers may run any number of times. A second INT ends the process at once.
const std::atomic<bool>& install_stop_signals();

/// The same as a signal, for `memcap stop`.
void request_stop_by_command();

/// What came last, e.g. "SIGINT" or "memcap stop"; empty if nothing did.
std::string stop_signal_name();

}  // namespace memcap::app
