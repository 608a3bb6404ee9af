// The control groups (cgroup v1 and v2) that this process is in: limits of a Slurm job or a container.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

namespace memcap::app {

enum class GroupVersion : std::uint8_t { v1, v2 };

/// Calls `visit` with the folder of each control group that limits this process by `controller` ("memory",
/// "cpu"), from the innermost to the outermost one of each hierarchy. A folder need not be there: inside a
/// container the path may be one of the host, of which only the ends are seen. `root` is where proc and sys
/// lie.
void for_each_group(
    const std::filesystem::path& root, std::string_view controller,
    const std::function<void(const std::filesystem::path& group, GroupVersion version)>& visit);

/// CPUs that the groups' quotas leave this process, e.g. 1.5; infinity without a quota.
double cpu_quota(const std::filesystem::path& root = "/");

}  // namespace memcap::app
