// Walks /proc/self/cgroup, and the quotas of CPU time found on the way.
#include "app/control_groups.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace memcap::app {

namespace {

namespace fs = std::filesystem;

/// A quota and its period in microseconds as CPUs; infinity where there is none: "max", -1, no file.
double cpus_of(std::istream& quota, std::istream& period) {
    double quota_us = 0.0;
    double period_us = 0.0;
    if (quota >> quota_us && period >> period_us && quota_us > 0.0 && period_us > 0.0)
        return quota_us / period_us;
    return std::numeric_limits<double>::infinity();
}

double quota_of(const fs::path& group, GroupVersion version) {
    if (version == GroupVersion::v2) {
        std::ifstream both(group / "cpu.max");
        return cpus_of(both, both);
    }
    std::ifstream quota(group / "cpu.cfs_quota_us");
    std::ifstream period(group / "cpu.cfs_period_us");
    return cpus_of(quota, period);
}

}  // namespace

void for_each_group(const fs::path& root, std::string_view controller,
                    const std::function<void(const fs::path& group, GroupVersion version)>& visit) {
    const auto visit_upwards = [&visit](const fs::path& base, std::string path, GroupVersion version) {
        while (true) {
            visit(base / fs::path(path).relative_path(), version);
            const auto slash = path.find_last_of('/');
            if (path.empty() || path == "/" || slash == std::string::npos) return;
            path.resize(slash);
        }
    };
    const fs::path base = root / "sys/fs/cgroup";
    const std::string wanted = "," + std::string(controller) + ",";
    std::ifstream lines(root / "proc/self/cgroup");
    // Each line is number:controllers:path, without controllers in version 2.
    for (std::string line; std::getline(lines, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const std::string path = line.substr(second + 1);
        if (controllers == ",,") visit_upwards(base, path, GroupVersion::v2);
        if (controllers.find(wanted) != std::string::npos)
            visit_upwards(base / controller, path, GroupVersion::v1);
    }
}

double cpu_quota(const fs::path& root) {
    double least = std::numeric_limits<double>::infinity();
    for_each_group(root, "cpu", [&least](const fs::path& group, GroupVersion version) {
        least = std::min(least, quota_of(group, version));
    });
    return least;
}

}  // namespace memcap::app
