// What /proc/meminfo and the control groups (cgroup v1 and v2) say.
#include "app/host_memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace memcap::app {

namespace {

namespace fs = std::filesystem;

/// Names of a version's files.
struct Files {
    const char* limit;
    const char* used;
    const char* cache;  ///< key in memory.stat of what can be dropped
};

constexpr Files kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr Files kVersion2{"memory.max", "memory.current", "inactive_file"};

/// The number in a file of one; none if it holds none ("max").
std::optional<std::int64_t> number_in(const fs::path& file) {
    std::ifstream stream(file);
    std::int64_t number = 0;
    if (stream >> number) return number;
    return std::nullopt;
}

/// The number behind a word that begins a line.
std::optional<std::int64_t> number_behind(const fs::path& file, std::string_view word) {
    std::ifstream stream(file);
    for (std::string name; stream >> name; stream.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
        std::int64_t number = 0;
        if (name == word && stream >> number) return number;
    }
    return std::nullopt;
}

/// What the limit of one group leaves.
std::optional<std::int64_t> left_in(const fs::path& group, const Files& files) {
    const auto limit = number_in(group / files.limit);
    const auto used = number_in(group / files.used);
    if (!limit || !used) return std::nullopt;
    const std::int64_t cache = number_behind(group / "memory.stat", files.cache).value_or(0);
    return std::max<std::int64_t>(0, *limit - (*used - cache));
}

/// The least that a group and those around it leave. Inside a container the path may be one of the host, of
/// which only the ends are there.
std::int64_t least_left(const fs::path& base, std::string path, const Files& files) {
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    while (true) {
        least = std::min(least, left_in(base / fs::path(path).relative_path(), files).value_or(least));
        const auto slash = path.find_last_of('/');
        if (path.empty() || path == "/" || slash == std::string::npos) return least;
        path.resize(slash);
    }
}

/// Each line of /proc/self/cgroup: number:controllers:path, without controllers in version 2.
std::int64_t left_in_groups(const fs::path& root) {
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    std::ifstream lines(root / "proc/self/cgroup");
    for (std::string line; std::getline(lines, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const std::string path = line.substr(second + 1);
        const fs::path base = root / "sys/fs/cgroup";
        if (controllers == ",,") least = std::min(least, least_left(base, path, kVersion2));
        if (controllers.find(",memory,") != std::string::npos)
            least = std::min(least, least_left(base / "memory", path, kVersion1));
    }
    return least;
}

}  // namespace

std::int64_t free_host_bytes(const fs::path& root) {
    constexpr std::int64_t kKibibyte = 1024;
    const auto available = number_behind(root / "proc/meminfo", "MemAvailable:");
    const std::int64_t of_host =
        available ? *available * kKibibyte : std::numeric_limits<std::int64_t>::max();
    return std::min(of_host, left_in_groups(root));
}

}  // namespace memcap::app
