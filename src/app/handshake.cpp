// Comparisons of what ranks have told, and a file that they look for.
#include "app/handshake.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <system_error>
#include <thread>

#include "memcap/base/build_id.hpp"
#include "memcap/base/build_info.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/files.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;

constexpr double kMostSkew_s = 60.0;
constexpr double kLookEvery_s = 0.5;

/// The first few of these nodes, and how many more there are.
std::string names_of(const std::set<std::string>& nodes) {
    constexpr std::size_t kMost = 8;
    const std::vector<std::string> first(
        nodes.begin(), std::next(nodes.begin(), static_cast<std::ptrdiff_t>(std::min(kMost, nodes.size()))));
    const std::string text = fmt::format("{}", fmt::join(first, ", "));
    return nodes.size() > kMost ? fmt::format("{} and {} more", text, nodes.size() - kMost) : text;
}

fs::path nearest_folder(fs::path path) {
    path = fs::absolute(path);
    std::error_code problem;
    while (!fs::is_directory(path, problem) && path.has_relative_path()) path = path.parent_path();
    return path;
}

}  // namespace

std::string own_build() {
    return fmt::format("memcap {} ({}, build {})", kVersion, kGitRevision, build_id());
}

std::optional<ErrorText> different_builds(const std::vector<std::string>& nodes,
                                          const std::vector<std::string>& builds) {
    MEMCAP_EXPECT(nodes.size() == builds.size());
    std::map<std::string, std::set<std::string>> nodes_of;
    for (std::size_t rank = 0; rank < builds.size(); ++rank) nodes_of[builds[rank]].insert(nodes[rank]);
    if (nodes_of.size() <= 1) return std::nullopt;
    std::string why;
    for (const auto& [build, those] : nodes_of)
        why += fmt::format("{}{} on {}", why.empty() ? "" : "; ", build, names_of(those));
    return ErrorText{.what = "the ranks of this launch run different programs",
                     .where = {},
                     .why = why,
                     .advice =
                         "Start one memcap on all nodes: from a folder that they share, or the same "
                         "copy on each; `memcap --version` says which one it is"};
}

std::string different_clocks(const std::vector<std::string>& nodes, const std::vector<double>& clocks_s) {
    MEMCAP_EXPECT(nodes.size() == clocks_s.size());
    std::vector<double> ahead_s;
    for (const double clock_s : clocks_s) ahead_s.push_back(clock_s - clocks_s.front());
    const auto [behind, ahead] = std::ranges::minmax_element(ahead_s);
    if (*ahead - *behind <= kMostSkew_s) return {};
    std::set<std::string> wrong;
    for (std::size_t rank = 0; rank < ahead_s.size(); ++rank) {
        if (std::abs(ahead_s[rank]) > kMostSkew_s)
            wrong.insert(fmt::format("{} {:+.0f} s", nodes[rank], ahead_s[rank]));
    }
    // All may be near to that of rank 0, and yet far from each other.
    if (wrong.empty()) {
        for (const auto& rank : {behind, ahead})
            wrong.insert(
                fmt::format("{} {:+.0f} s", nodes[static_cast<std::size_t>(rank - ahead_s.begin())], *rank));
    }
    return fmt::format(
        "clocks differ from that of {} by over a minute: {}. Times in the results will be off by that much; "
        "have these nodes' clocks set (chronyc makestep, as root)",
        nodes.front(), names_of(wrong));
}

FolderToken::FolderToken(const fs::path& folder) {
    std::random_device random;
    const fs::path name = fmt::format(".look-{:08x}{:08x}", random(), random());
    path_ = temporary_name(nearest_folder(folder) / name);
    // Where it cannot be made, the run folder cannot either, and the run will say so.
    if (!std::ofstream(path_)) path_.clear();
}

FolderToken::~FolderToken() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove(path_, ignored);
}

bool comes_into_sight(const fs::path& token, double patience_s) {
    const double until_s = monotonic_s() + patience_s;
    std::error_code problem;
    while (!fs::exists(token, problem)) {
        if (monotonic_s() >= until_s) return false;
        std::this_thread::sleep_for(std::chrono::duration<double>(kLookEvery_s));
    }
    return true;
}

ErrorText folder_not_shared(const fs::path& folder, const std::vector<std::string>& blind_nodes) {
    return {
        .what = fmt::format("{} {} another folder of this name than rank 0, or none",
                            names_of({blind_nodes.begin(), blind_nodes.end()}),
                            blind_nodes.size() == 1 ? "has" : "have"),
        .where = fs::absolute(folder).string(),
        .why = "it is not on a file system that the nodes share, so a run could not go on from another node",
        .advice = "Name a folder on a shared file system with --out"};
}

}  // namespace memcap::app
