// Building the tree from yaml-cpp's events; environment variables.
#include "config/detail/tree.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>

namespace memcap::config::detail {

namespace {

// Braces are YAML's own inside {...} and would end a plain value there, so that the references are hidden
// from the parser behind control characters, one for one: columns stay right.
constexpr char kOpen = '\x01';
constexpr char kClose = '\x02';
constexpr char kLiteral = '\x03';
constexpr std::size_t kMostNodes = 200'000;

bool is_name_character(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// The place of the brace that ends the variable reference whose `{` stands at `open`, if it is one.
std::optional<std::size_t> reference_end(std::string_view text, std::size_t open) {
    std::size_t end = open + 1;
    while (end < text.size() && is_name_character(text[end])) ++end;
    const bool is_reference = end > open + 1 && end < text.size() && text[end] == '}';
    return is_reference ? std::optional(end) : std::nullopt;
}

std::string hide_references(std::string_view text) {
    std::string hidden(text);
    for (std::size_t dollar = hidden.find("${"); dollar != std::string::npos;
         dollar = hidden.find("${", dollar + 1)) {
        const auto end = reference_end(hidden, dollar + 1);
        if (!end) continue;
        hidden[dollar + 1] = kOpen;
        hidden[*end] = kClose;
        if (dollar > 0 && hidden[dollar - 1] == '$') hidden[dollar - 1] = kLiteral;
    }
    return hidden;
}

/// yaml-cpp's events, turned into a tree.
class TreeBuilder : public YAML::EventHandler {
  public:
    TreeBuilder(const Location& origin, Diagnostics& diagnostics)
        : origin_(origin), diagnostics_(diagnostics) {}

    Node take_root() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (++documents_ == 2)
            report(diagnostics_, place(mark), "found a second YAML document", "one document");
    }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        finish(Node{.kind = NodeKind::null, .where = place(mark)}, anchor);
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        Node copy = anchored_[anchor];
        copy.where = place(mark);
        nodes_ += count(copy);
        finish(std::move(copy), 0);
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        Node node{.kind = NodeKind::scalar, .quoted = tag == "!", .where = place(mark)};
        fill_variables(value, node);
        finish(std::move(node), anchor);
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override {
        open_.push_back({.node = Node{.kind = NodeKind::list, .where = place(mark)}, .anchor = anchor});
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override {
        open_.push_back({.node = Node{.kind = NodeKind::map, .where = place(mark)}, .anchor = anchor});
    }
    void OnMapEnd() override { close(); }

    Location place(const YAML::Mark& mark) const {
        if (origin_.line == 0) return origin_;
        return Location{.file = origin_.file, .line = mark.line + 1, .column = mark.column + 1};
    }

  private:
    struct Open {
        Node node;
        YAML::anchor_t anchor = 0;
        std::optional<Node> key{};
    };

    void close() {
        Open done = std::move(open_.back());
        open_.pop_back();
        finish(std::move(done.node), done.anchor);
    }

    /// Puts a complete value where it belongs: the root, a list, a map's key or a map's value.
    void finish(Node node, YAML::anchor_t anchor) {
        if (++nodes_ > kMostNodes) throw YAML::ParserException(YAML::Mark(), "the document is too large");
        if (anchor != 0) anchored_[anchor] = node;
        if (open_.empty()) {
            if (documents_ == 1) root_ = std::move(node);
            return;
        }
        Open& parent = open_.back();
        if (parent.node.is_list()) {
            parent.node.children.push_back(std::move(node));
        } else if (!parent.key) {
            parent.key = std::move(node);
        } else {
            node.key = parent.key->scalar;
            node.key_where = parent.key->where;
            // The parser places a missing value at whatever comes next, often lines below.
            if (node.kind == NodeKind::null) node.where = node.key_where;
            if (parent.key->is_scalar() && parent.key->scalar == "<<") {
                report(diagnostics_, node.key_where, "found YAML's merge key <<, which is not read here",
                       "each key written out, or an alias (*name) for a whole value");
            } else if (parent.key->is_scalar()) {
                add_entry(parent.node, std::move(node));
            } else if (parent.key->kind == NodeKind::unusable) {
                report_unset_variables(*parent.key, diagnostics_);
            } else {
                report(diagnostics_, node.key_where, fmt::format("found {} as a key", described(*parent.key)),
                       "a name");
            }
            parent.key.reset();
        }
    }

    void add_entry(Node& map, Node entry) {
        for (const Node& other : map.children) {
            if (other.key != entry.key) continue;
            const std::string first = other.key_where.line > 0
                                          ? fmt::format(", first in line {}", other.key_where.line)
                                          : std::string();
            report(diagnostics_, entry.key_where, fmt::format("key '{}' stands twice{}", entry.key, first),
                   "each key once");
            return;
        }
        map.children.push_back(std::move(entry));
    }

    /// Sets the node's text: the value with its variables filled in, or as it was written if some are not
    /// set.
    static void fill_variables(const std::string& value, Node& node) {
        for (std::size_t i = 0; i < value.size(); ++i) {
            const bool literal = value[i] == kLiteral;
            if (literal) ++i;
            if (i + 1 >= value.size() || value[i + 1] != kOpen) {
                node.scalar += value[i];
                continue;
            }
            const std::size_t end = value.find(kClose, i);
            const std::string name = value.substr(i + 2, end - i - 2);
            const char* content = literal ? nullptr : std::getenv(name.c_str());
            if (!literal && content == nullptr) node.unset_variables.push_back(name);
            node.scalar += content != nullptr ? std::string(content) : "${" + name + "}";
            i = end;
        }
        if (!node.unset_variables.empty()) node.kind = NodeKind::unusable;
    }

    static std::size_t count(const Node& node) {
        std::size_t nodes = 1;
        for (const Node& child : node.children) nodes += count(child);
        return nodes;
    }

    Location origin_;
    Diagnostics& diagnostics_;
    Node root_;
    std::vector<Open> open_;
    std::map<YAML::anchor_t, Node> anchored_;
    std::size_t nodes_ = 0;
    int documents_ = 0;
};

/// The first byte that no experiment file has: control characters, and what yaml-cpp takes for the end of the
/// file.
std::optional<std::size_t> first_control_character(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F) return i;
    }
    return std::nullopt;
}

/// What to say of tabs that indent lines, which YAML forbids and yaml-cpp reports as something else.
std::string advice_on_tabs(std::string_view text) {
    int line = 1;
    bool is_indentation = true;
    for (const char c : text) {
        if (c == '\t' && is_indentation)
            return fmt::format("spaces as indentation (line {} has a tab)", line);
        is_indentation = c == '\n' || (is_indentation && c == ' ');
        line += c == '\n' ? 1 : 0;
    }
    return {};
}

Location location_of(std::string_view text, std::size_t offset, const Location& origin) {
    if (origin.line == 0) return origin;
    Location where{.file = origin.file, .line = 1, .column = 1};
    for (const char c : text.substr(0, offset)) {
        where.column = c == '\n' ? 1 : where.column + 1;
        where.line += c == '\n' ? 1 : 0;
    }
    return where;
}

}  // namespace

void report(Diagnostics& diagnostics, const Location& where, std::string found, std::string allowed,
            std::string suggestion) {
    diagnostics.push_back({where, std::move(found), std::move(allowed), std::move(suggestion)});
}

Node read_yaml(std::string_view text, const Location& origin, Diagnostics& diagnostics) {
    if (const auto offset = first_control_character(text)) {
        const auto code = static_cast<unsigned>(static_cast<unsigned char>(text[*offset]));
        report(diagnostics, location_of(text, *offset, origin),
               fmt::format("found the control character 0x{:02x}", code), "text in UTF-8");
        return Node{.kind = NodeKind::unusable, .where = origin};
    }
    std::istringstream stream(hide_references(text));
    TreeBuilder builder(origin, diagnostics);
    try {
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const YAML::Exception& error) {
        const bool placed = !error.mark.is_null();
        report(diagnostics, placed ? builder.place(error.mark) : origin, "not valid YAML: " + error.msg,
               advice_on_tabs(text));
        return Node{.kind = NodeKind::unusable, .where = origin};
    }
    Node root = builder.take_root();
    if (root.where.file.empty()) root.where = origin;
    return root;
}

void report_unset_variables(const Node& node, Diagnostics& diagnostics) {
    for (const std::string& name : node.unset_variables) {
        report(diagnostics, node.where, fmt::format("environment variable {} is not set", name));
    }
    for (const Node& child : node.children) report_unset_variables(child, diagnostics);
}

std::string escape_variables(std::string_view text) {
    std::string escaped;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool reference = text.substr(i, 2) == "${" && reference_end(text, i + 1);
        if (reference) escaped += '$';
        escaped += text[i];
    }
    return escaped;
}

std::string described(const Node& node) {
    switch (node.kind) {
        case NodeKind::null:
            return "nothing";
        case NodeKind::list:
            return node.children.empty() ? "an empty list" : "a list";
        case NodeKind::map:
            return node.children.empty() ? "an empty map" : "a map";
        case NodeKind::scalar:
            return node.quoted ? fmt::format("the text '{}'", node.scalar) : fmt::format("'{}'", node.scalar);
        case NodeKind::unusable:
            break;
    }
    return fmt::format("'{}'", node.scalar);
}

}  // namespace memcap::config::detail
