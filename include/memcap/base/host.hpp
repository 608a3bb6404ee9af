// The machine that this process runs on.
#pragma once

#include <string>

namespace memcap {

/// Its name as the system gives it, "unknown" if it gives none.
std::string host_name();

/// The node of a run that it is: its name, or what MEMCAP_NODE says, by which one machine can stand for
/// several nodes.
std::string node_name();

}  // namespace memcap
