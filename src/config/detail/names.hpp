// Names: which ones may be used, and which one was probably meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace memcap::config::detail {

/// Edits (insertion, deletion, change of a character, swap of two neighbours) that turn one word into the
/// other.
int edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word`, upper and lower case taken as equal, or else the only one that it
/// abbreviates; empty if none is near enough to be meant.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// "a, b, c"; long lists are cut after the first entries and say how many more there are.
std::string listed(std::span<const std::string> names);

/// Names of experiments, models, corpora and protocols: they become parts of file names and table cells.
bool is_valid_name(std::string_view name);
inline constexpr std::string_view kValidNames =
    "up to 100 letters, digits and ._+-, the first a letter or digit";

}  // namespace memcap::config::detail
