// Memory of the host that this process may still take.
#pragma once

#include <cstdint>
#include <filesystem>

namespace memcap::app {

/// Bytes that the host has available, or that the limits of this process's control groups leave of them
/// (those of a Slurm job or a container): beyond them the kernel ends the process. File caches count as free.
/// `root` is where proc and sys lie. The largest number where the system does not tell.
std::int64_t free_host_bytes(const std::filesystem::path& root = "/");

}  // namespace memcap::app
