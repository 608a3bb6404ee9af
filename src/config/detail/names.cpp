// Edit distance and the rules of names.
#include "config/detail/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <vector>

namespace memcap::config::detail {

namespace {

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

bool is_alphanumeric(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

/// Whether `word` is what is left of `candidate` without some of its characters, but not the first.
bool abbreviates(std::string_view word, std::string_view candidate) {
    if (word.size() < 2 || candidate.empty() || word.front() != candidate.front()) return false;
    std::size_t matched = 0;
    for (const char c : candidate) matched += matched < word.size() && word[matched] == c ? 1 : 0;
    return matched == word.size();
}

}  // namespace

int edit_distance(std::string_view a, std::string_view b) {
    const std::size_t columns = b.size() + 1;
    std::vector<int> cost((a.size() + 1) * columns);
    const auto at = [&](std::size_t i, std::size_t j) -> int& { return cost[i * columns + j]; };
    for (std::size_t i = 0; i <= a.size(); ++i) at(i, 0) = static_cast<int>(i);
    for (std::size_t j = 0; j <= b.size(); ++j) at(0, j) = static_cast<int>(j);
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const int changed = a[i - 1] == b[j - 1] ? 0 : 1;
            at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + changed});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
        }
    }
    return cost.back();
}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
    constexpr std::size_t kLongestWord = 100;
    if (word.empty() || word.size() > kLongestWord) return {};
    std::string best;
    // One letter has only its other case for a near miss.
    int best_distance = word.size() == 1 ? 1 : std::max(1, static_cast<int>(word.size()) / 3) + 1;
    for (const std::string& candidate : candidates) {
        const int distance = edit_distance(lower(word), lower(candidate));
        if (distance >= best_distance) continue;
        best = candidate;
        best_distance = distance;
    }
    if (!best.empty()) return best;
    const auto is_meant = [&](const std::string& candidate) {
        return abbreviates(lower(word), lower(candidate));
    };
    const auto first = std::find_if(candidates.begin(), candidates.end(), is_meant);
    const bool is_only_one = std::count_if(candidates.begin(), candidates.end(), is_meant) == 1;
    return is_only_one ? *first : std::string();
}

std::string listed(std::span<const std::string> names) {
    constexpr std::size_t kShown = 20;
    std::string text;
    for (const std::string& name : names.first(std::min(names.size(), kShown))) {
        if (!text.empty()) text += ", ";
        text += name;
    }
    if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
    return text;
}

bool is_valid_name(std::string_view name) {
    constexpr std::size_t kLongestName = 100;
    if (name.empty() || name.size() > kLongestName || !is_alphanumeric(name.front())) return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        return is_alphanumeric(c) || c == '.' || c == '_' || c == '+' || c == '-';
    });
}

}  // namespace memcap::config::detail
