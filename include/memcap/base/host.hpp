// The machine that this process runs on.
#pragma once

#include <string>

namespace memcap {

/// Its name as the system gives it, "unknown" if it gives none.
std::string host_name();

}  // namespace memcap
