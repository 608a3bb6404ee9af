// Typed reads of a tree's values: each returns the value, or reports what is wrong and returns nothing.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/detail/names.hpp"
#include "config/detail/tree.hpp"

namespace memcap::config::detail {

using Names = std::vector<std::string>;

/// The entries of a map that may have certain keys only.
class MapReader {
  public:
    /// Reports a value that is no map, and unknown keys. `title` says in messages what the map describes.
    MapReader(const Node& node, std::string title, Names keys, Diagnostics& diagnostics);

    /// The value of a key; null if it is absent.
    const Node* find(std::string_view key) const;
    /// The same, with a report if it is absent.
    const Node* require(std::string_view key, std::string_view allowed);
    /// False if the node is no map: nothing can be found in it.
    bool usable() const { return node_.is_map(); }
    const Node& node() const { return node_; }
    Diagnostics& diagnostics() { return diagnostics_; }

  private:
    const Node& node_;
    std::string title_;
    Diagnostics& diagnostics_;
};

/// Reports that the value of `key` is not what it may be.
void report_value(const Node& node, std::string_view key, std::string allowed, Diagnostics& diagnostics,
                  std::string suggestion = {});

/// Whether the value is a plain (unquoted) scalar.
bool is_plain(const Node& node);

template <class Integer>
std::string integers_allowed(Integer lowest, Integer highest) {
    return highest == std::numeric_limits<Integer>::max()
               ? fmt::format("a whole number of at least {}", lowest)
               : fmt::format("a whole number from {} to {}", lowest, highest);
}

/// A whole number in lowest..highest; `other` names what else the key takes ("auto or ").
template <class Integer>
std::optional<Integer> read_integer(const Node& node, std::string_view key, Integer lowest, Integer highest,
                                    Diagnostics& diagnostics, std::string_view other = {}) {
    Integer value{};
    const char* first = node.scalar.data();
    const char* last = first + node.scalar.size();
    const auto [end, error] = std::from_chars(first, last, value);
    const bool good =
        is_plain(node) && error == std::errc() && end == last && value >= lowest && value <= highest;
    if (good) return value;
    report_value(node, key, std::string(other) + integers_allowed(lowest, highest), diagnostics);
    return std::nullopt;
}

/// A number that fulfils `is_allowed`, which `allowed` puts in words.
std::optional<double> read_number(const Node& node, std::string_view key, bool (*is_allowed)(double),
                                  std::string_view allowed, Diagnostics& diagnostics);
std::optional<bool> read_bool(const Node& node, std::string_view key, Diagnostics& diagnostics);
/// A text that is not empty; numbers count as text.
std::optional<std::string> read_text(const Node& node, std::string_view key, std::string_view allowed,
                                     Diagnostics& diagnostics);

/// The place among `names` of the value's text.
std::optional<std::size_t> read_name(const Node& node, std::string_view key, const Names& names,
                                     Diagnostics& diagnostics);

/// The enumerator among `values` whose to_string() is the value's text.
template <class Enum>
std::optional<Enum> read_choice(const Node& node, std::string_view key, std::initializer_list<Enum> values,
                                Diagnostics& diagnostics) {
    Names names;
    for (const Enum value : values) names.emplace_back(to_string(value));
    const auto place = read_name(node, key, names, diagnostics);
    return place ? std::optional(*(values.begin() + *place)) : std::nullopt;
}

/// A list of values, or a single one in its place; reports an empty list and values that stand twice.
/// `read_one(const Node&) -> std::optional<Value>` reads and reports one of them.
template <class Value, class ReadOne>
std::vector<Value> read_axis(const Node& node, std::string_view key, std::string_view allowed,
                             ReadOne read_one, Diagnostics& diagnostics) {
    std::vector<Value> values;
    const bool is_single = node.is_scalar() || node.kind == NodeKind::unusable;
    if (!is_single && (!node.is_list() || node.children.empty())) {
        report_value(node, key, std::string(allowed), diagnostics);
        return values;
    }
    for (const Node& item : is_single ? std::span(&node, 1) : std::span(node.children)) {
        const std::optional<Value> value = read_one(item);
        if (!value) continue;
        if (std::find(values.begin(), values.end(), *value) != values.end()) {
            report(diagnostics, item.where, fmt::format("{}: {} stands twice", key, item.scalar),
                   "each value once");
        } else {
            values.push_back(*value);
        }
    }
    return values;
}

}  // namespace memcap::config::detail
