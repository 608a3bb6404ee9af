// Ids that begin alike.
#include "app/trial_lookup.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "memcap/base/errors.hpp"

namespace memcap::app {

std::optional<Id128> find_trial(const std::vector<Id128>& ids, const std::string& beginning) {
    constexpr std::size_t kMostShown = 8;
    std::string wanted = beginning;
    std::ranges::transform(wanted, wanted.begin(), [](unsigned char letter) { return std::tolower(letter); });
    std::set<Id128> found;
    for (const Id128& id : ids) {
        if (id.hex().starts_with(wanted)) found.insert(id);
    }
    if (found.empty()) return std::nullopt;
    if (found.size() == 1) return *found.begin();
    std::vector<std::string> shown;
    for (const Id128& id : found) {
        if (shown.size() < kMostShown) shown.push_back(id.hex());
    }
    throw UsageError(
        {.what = fmt::format("{} trials' ids begin with '{}'", found.size(), beginning),
         .where = "--trial",
         .why = fmt::format("{}{}", fmt::join(shown, ", "), found.size() > shown.size() ? ", ..." : ""),
         .advice = "Give more digits"});
}

}  // namespace memcap::app
