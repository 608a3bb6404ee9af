// Reads of single values, and their reports.
#include "config/detail/reader.hpp"

#include <cmath>

namespace memcap::config::detail {

MapReader::MapReader(const Node& node, std::string title, Names keys, Diagnostics& diagnostics)
    : node_(node), title_(std::move(title)), diagnostics_(diagnostics) {
    if (!node.is_map()) {
        report_value(node, title_,
                     (keys.size() == 1 ? "a map with the key " : "a map with the keys ") + listed(keys),
                     diagnostics);
        return;
    }
    for (const Node& entry : node.children) {
        if (std::find(keys.begin(), keys.end(), entry.key) != keys.end()) continue;
        report(diagnostics, entry.key_where, fmt::format("unknown key '{}' in {}", entry.key, title_),
               listed(keys), nearest(entry.key, keys));
    }
}

const Node* MapReader::find(std::string_view key) const {
    const auto entry = std::find_if(node_.children.begin(), node_.children.end(),
                                    [&](const Node& child) { return child.key == key; });
    return node_.is_map() && entry != node_.children.end() ? &*entry : nullptr;
}

const Node* MapReader::require(std::string_view key, std::string_view allowed) {
    const Node* value = find(key);
    if (value == nullptr && node_.is_map()) {
        report(diagnostics_, node_.where, fmt::format("key '{}' is missing in {}", key, title_),
               std::string(allowed));
    }
    return value;
}

void report_value(const Node& node, std::string_view key, std::string allowed, Diagnostics& diagnostics,
                  std::string suggestion) {
    if (node.kind == NodeKind::unusable) return;
    report(diagnostics, node.where, fmt::format("{}: found {}", key, described(node)), std::move(allowed),
           std::move(suggestion));
}

bool is_plain(const Node& node) {
    return node.is_scalar() && !node.quoted;
}

std::optional<double> read_number(const Node& node, std::string_view key, bool (*is_allowed)(double),
                                  std::string_view allowed, Diagnostics& diagnostics) {
    double value = 0.0;
    const char* first = node.scalar.data();
    const char* last = first + node.scalar.size();
    const auto [end, error] = std::from_chars(first, last, value);
    const bool is_number = is_plain(node) && error == std::errc() && end == last && std::isfinite(value);
    if (is_number && is_allowed(value)) return value;
    report_value(node, key, std::string(allowed), diagnostics);
    return std::nullopt;
}

std::optional<std::size_t> read_name(const Node& node, std::string_view key, const Names& names,
                                     Diagnostics& diagnostics) {
    const auto found = node.is_scalar() ? std::find(names.begin(), names.end(), node.scalar) : names.end();
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
    report_value(node, key, listed(names), diagnostics, node.is_scalar() ? nearest(node.scalar, names) : "");
    return std::nullopt;
}

std::optional<bool> read_bool(const Node& node, std::string_view key, Diagnostics& diagnostics) {
    if (is_plain(node) && node.scalar == "true") return true;
    if (is_plain(node) && node.scalar == "false") return false;
    report_value(node, key, "true, false", diagnostics);
    return std::nullopt;
}

std::optional<std::string> read_text(const Node& node, std::string_view key, std::string_view allowed,
                                     Diagnostics& diagnostics) {
    if (node.is_scalar() && !node.scalar.empty()) return node.scalar;
    report_value(node, key, std::string(allowed), diagnostics);
    return std::nullopt;
}

}  // namespace memcap::config::detail
