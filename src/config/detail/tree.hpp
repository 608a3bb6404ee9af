// A YAML document as a tree of plain values, each with its place in the file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "memcap/config/diagnostics.hpp"

namespace memcap::config::detail {

enum class NodeKind {
    null,
    scalar,
    list,
    map,
    unusable,  ///< reported elsewhere; readers pass over it
};

/// A value of the document; in a map also its key.
struct Node {
    NodeKind kind = NodeKind::null;
    std::string scalar{};  ///< with environment variables filled in
    bool quoted = false;
    std::vector<std::string> unset_variables{};  ///< environment variables it needs; not empty = unusable
    Location where{};
    std::string key{};
    Location key_where{};
    std::vector<Node> children{};

    bool is_map() const { return kind == NodeKind::map; }
    bool is_list() const { return kind == NodeKind::list; }
    bool is_scalar() const { return kind == NodeKind::scalar; }
};

/// Mistakes found so far.
using Diagnostics = std::vector<Diagnostic>;

void report(Diagnostics& diagnostics, const Location& where, std::string found, std::string allowed = {},
            std::string suggestion = {});

/// Reads one YAML document. Syntax errors and keys that stand twice in a map go to `diagnostics`, with
/// `origin.file`; places get lines and columns only if `origin.line` is not 0.
Node read_yaml(std::string_view text, const Location& origin, Diagnostics& diagnostics);

/// Reports the environment variables that are not set, once the values that need them can no longer be
/// overridden.
void report_unset_variables(const Node& node, Diagnostics& diagnostics);

/// `text` such that read_yaml() gives it back: `${` is written `$${`.
std::string escape_variables(std::string_view text);

/// What a value is, in words for messages: "the text 'x'", "a list", "nothing".
std::string described(const Node& node);

}  // namespace memcap::config::detail
