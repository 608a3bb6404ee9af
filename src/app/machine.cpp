// Facts from the operating system.
#include "app/machine.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace memcap::app {

std::int32_t usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
    return std::max(1, CPU_COUNT(&set));
}

std::int32_t threads_of_rank(std::optional<std::int32_t> configured, std::int32_t local_ranks) {
    if (configured) return *configured;
    const auto online = static_cast<std::int32_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
    const std::int32_t usable = usable_cores();
    if (usable < online && local_ranks > 1) return usable;
    return std::max(1, usable / std::max(1, local_ranks));
}

std::string cpu_device(std::int32_t threads) {
    std::ifstream facts("/proc/cpuinfo");
    std::string name = "CPU";
    for (std::string line; std::getline(facts, line);) {
        const auto colon = line.find(':');
        if (line.starts_with("model name") && colon != std::string::npos) {
            name = line.substr(std::min(line.size(), colon + 2));
            break;
        }
    }
    return fmt::format("{}, {} thread{}", name, threads, threads == 1 ? "" : "s");
}

std::int64_t host_memory_bytes() {
    return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
}

std::string executable_path() {
    std::error_code problem;
    const auto path = std::filesystem::read_symlink("/proc/self/exe", problem);
    return problem ? "memcap" : path.string();
}

}  // namespace memcap::app
