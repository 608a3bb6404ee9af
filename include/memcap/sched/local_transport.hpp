// A wire between two threads of one process.
#pragma once

#include <memory>
#include <utility>

#include "memcap/sched/transport.hpp"

namespace memcap::sched {

/// Two connected ends. Both are rank 0 of a run of one: what one sends to rank 0 the
/// other polls. The ends may be used from different threads.
std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> make_local_transport();

}  // namespace memcap::sched
