// What /proc/meminfo and the control groups (cgroup v1 and v2) say.
#include "app/host_memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "app/control_groups.hpp"

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

/// The least that the groups of this process leave.
std::int64_t left_in_groups(const fs::path& root) {
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for_each_group(root, "memory", [&least](const fs::path& group, GroupVersion version) {
        const auto left = left_in(group, version == GroupVersion::v2 ? kVersion2 : kVersion1);
        least = std::min(least, left.value_or(least));
    });
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
