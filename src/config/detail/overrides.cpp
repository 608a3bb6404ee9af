// Finding the place that a key path names, and replacing the value there.
#include "config/detail/overrides.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace memcap::config::detail {

namespace {

/// The entry of `map` that the path starts with. Names may hold dots: the longest key that fits wins.
Node* longest_entry(Node& map, std::string_view path) {
    Node* best = nullptr;
    for (Node& entry : map.children) {
        const bool fits =
            path.starts_with(entry.key) && (path.size() == entry.key.size() || path[entry.key.size()] == '.');
        if (fits && (best == nullptr || entry.key.size() > best->key.size())) best = &entry;
    }
    return best;
}

std::optional<std::size_t> item_number(std::string_view text) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole ? std::optional(number) : std::nullopt;
}

void become_map(Node& node, const Location& where) {
    node.kind = NodeKind::map;
    node.where = where;
    node.children.clear();
}

void drop_step(std::string_view& path, std::size_t size) {
    path.remove_prefix(size);
    if (!path.empty()) path.remove_prefix(1);
}

/// The node at `path` under `root`, made if need be; null after a report.
Node* place_of(Node& root, std::string_view path, const Location& where, Diagnostics& diagnostics) {
    Node* node = &root;
    while (!path.empty()) {
        const std::string_view step = path.substr(0, path.find('.'));
        if (node->is_list()) {
            const auto number = item_number(step);
            if (!number || *number >= node->children.size()) {
                report(diagnostics, where, fmt::format("no item '{}' in the list", step),
                       node->children.empty() ? std::string("no item, the list is empty")
                                              : fmt::format("0 to {}", node->children.size() - 1));
                return nullptr;
            }
            node = &node->children[*number];
            drop_step(path, step.size());
            continue;
        }
        if (!node->is_map()) become_map(*node, where);
        Node* entry = longest_entry(*node, path);
        if (entry == nullptr) {
            node->children.push_back(Node{.where = where, .key = std::string(step), .key_where = where});
            entry = &node->children.back();
        }
        node = entry;
        drop_step(path, node->key.size());
    }
    return node;
}

}  // namespace

void apply_overrides(Node& root, std::span<const std::string> overrides, Diagnostics& diagnostics) {
    for (const std::string& text : overrides) {
        const Location where{.file = "--set " + text, .line = 0, .column = 0};
        const std::size_t equals = text.find('=');
        const std::string_view path = std::string_view(text).substr(0, equals);
        const bool well_formed = equals != std::string::npos && !path.empty() && path.front() != '.' &&
                                 path.back() != '.' && path.find("..") == std::string_view::npos;
        if (!well_formed) {
            report(diagnostics, where, "found no key and value", "key.path=value");
            continue;
        }
        Node value = read_yaml(std::string_view(text).substr(equals + 1), where, diagnostics);
        Node* place = place_of(root, path, where, diagnostics);
        if (place == nullptr) continue;
        value.key = place->key;
        value.key_where = place->key_where;
        *place = std::move(value);
    }
}

}  // namespace memcap::config::detail
