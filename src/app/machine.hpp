// The machine of this rank: cores, threads, device, host.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace memcap::app {

/// Cores that this process may use (its affinity mask).
std::int32_t usable_cores();

/// Threads for one of `local_ranks` ranks of this host: the configured number, else its share of the cores. A
/// rank that its launcher bound to some of the host's cores uses all of those.
std::int32_t threads_of_rank(std::optional<std::int32_t> configured, std::int32_t local_ranks);

/// E.g. "AMD EPYC 9654, 2 threads".
std::string cpu_device(std::int32_t threads);

/// Bytes of memory that this host has.
std::int64_t host_memory_bytes();

/// Folder-independent path of this executable.
std::string executable_path();

}  // namespace memcap::app
