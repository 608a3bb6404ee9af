// Protocols: what each changes of the one it is based on.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "config/detail/reader.hpp"
#include "config/detail/sections.hpp"
#include "memcap/base/protocol_keys.hpp"

namespace memcap::config::detail {

namespace {

constexpr std::int32_t kMostSteps = 1'000'000'000;

Names key_names() {
    Names names{"base"};
    for (const ProtocolKey& key : protocol_keys()) names.emplace_back(key.name);
    return names;
}

template <class Value>
void assign(Value& place, const std::optional<Value>& value) {
    if (value) place = *value;
}

void read_number_into(const Node& node, std::string_view key, const NumberRange& range, double& place,
                      Diagnostics& diagnostics) {
    assign(place, read_number(node, key, range.is_allowed, range.allowed, diagnostics));
}

/// Reads one field of a key from its node.
void read_field(const Node& node, std::string_view key, const ProtocolField& field, Protocol& values,
                Diagnostics& diagnostics) {
    if (const auto* number = std::get_if<NumberField>(&field.value)) {
        read_number_into(node, key, number->range, values.*number->member, diagnostics);
    } else if (const auto* count = std::get_if<CountField>(&field.value)) {
        assign(values.*count->member,
               read_integer<std::int32_t>(node, key, count->least, kMostSteps, diagnostics));
    } else if (const auto* choice = std::get_if<ChoiceField>(&field.value)) {
        const Names names(choice->names.begin(), choice->names.end());
        if (const auto place = read_name(node, key, names, diagnostics))
            choice->set(values, static_cast<std::uint8_t>(*place));
    } else if (const auto& pair = std::get<PairField>(field.value);
               !node.is_list() || node.children.size() != 2) {
        report_value(node, key, std::string(pair.range.allowed), diagnostics);
    } else {
        read_number_into(node.children[0], key, pair.range, values.*pair.first, diagnostics);
        read_number_into(node.children[1], key, pair.range, values.*pair.second, diagnostics);
    }
}

/// Puts the values that the entry names over those of its base.
void read_values(const MapReader& map, Protocol& values, Diagnostics& diagnostics) {
    for (const ProtocolKey& key : protocol_keys()) {
        const Node* node = map.find(key.name);
        if (node == nullptr) continue;
        if (key.fields.size() == 1 || node->is_scalar()) {
            read_field(*node, key.name, key.fields.front(), values, diagnostics);
        } else if (!node->is_list() || node->children.size() != key.fields.size()) {
            report_value(*node, key.name, std::string(key.allowed), diagnostics);
        } else {
            for (std::size_t i = 0; i < key.fields.size(); ++i)
                read_field(node->children[i], key.name, key.fields[i], values, diagnostics);
        }
    }
}

/// Resolves the entries of `protocols`, each after its base.
class ProtocolResolver {
  public:
    ProtocolResolver(const Node& node, Diagnostics& diagnostics) : node_(node), diagnostics_(diagnostics) {
        names_.emplace_back("paper");
        for (const Node& entry : node.children) {
            if (entry.key != "paper") names_.push_back(entry.key);
        }
    }

    Protocol resolve(const Node& entry) {
        if (const auto done = finished(entry.key)) return *done;
        under_way_.push_back(entry.key);
        MapReader map(entry, fmt::format("protocol '{}'", entry.key), key_names(), diagnostics_);
        Protocol values = base_of(map);
        if (map.usable()) {
            read_values(map, values, diagnostics_);
            check_warmup(map, values);
        }
        under_way_.pop_back();
        finished_.push_back({entry.key, values});
        return values;
    }

  private:
    std::optional<Protocol> finished(std::string_view name) const {
        for (const NamedProtocol& protocol : finished_) {
            if (protocol.name == name) return protocol.values;
        }
        return std::nullopt;
    }

    Protocol base_of(MapReader& map) {
        const Node* base = map.find("base");
        if (base == nullptr || (base->is_scalar() && base->scalar == "paper")) return Protocol{};
        const auto entry = std::find_if(node_.children.begin(), node_.children.end(),
                                        [&](const Node& child) { return child.key == base->scalar; });
        if (!base->is_scalar() || entry == node_.children.end()) {
            report_value(*base, "base", listed(names_), diagnostics_, nearest(base->scalar, names_));
            return Protocol{};
        }
        const auto start = std::find(under_way_.begin(), under_way_.end(), entry->key);
        if (start != under_way_.end()) {
            std::string circle;
            for (auto step = start; step != under_way_.end(); ++step) circle += *step + " -> ";
            report(diagnostics_, base->where,
                   fmt::format("base: protocols go round in a circle: {}{}", circle, *start),
                   "a chain that ends at paper");
            return Protocol{};
        }
        return resolve(*entry);
    }

    void check_warmup(MapReader& map, const Protocol& values) {
        if (values.warmup_steps < values.max_steps) return;
        const Node* place = map.find("warmup_steps");
        if (place == nullptr) place = map.find("max_steps");
        report(diagnostics_, place == nullptr ? map.node().where : place->where,
               fmt::format("warmup_steps: {} of max_steps {}", values.warmup_steps, values.max_steps),
               "fewer warmup_steps than max_steps");
    }

    const Node& node_;
    Diagnostics& diagnostics_;
    Names names_;
    std::vector<std::string> under_way_;
    std::vector<NamedProtocol> finished_;
};

}  // namespace

std::vector<NamedProtocol> read_protocols(const Node* node, Diagnostics& diagnostics) {
    std::vector<NamedProtocol> protocols{{.name = "paper", .values = {}}};
    if (node == nullptr) return protocols;
    if (!node->is_map()) {
        report_value(*node, "protocols", "a map of names to the values that differ from paper's",
                     diagnostics);
        return protocols;
    }
    ProtocolResolver resolver(*node, diagnostics);
    for (const Node& entry : node->children) {
        if (entry.key == "paper") {
            report(diagnostics, entry.key_where, "protocol 'paper' is built in and cannot be changed",
                   "another name, with base: paper");
            continue;
        }
        check_name(entry, "a protocol", diagnostics);
        protocols.push_back({.name = entry.key, .values = resolver.resolve(entry)});
    }
    return protocols;
}

}  // namespace memcap::config::detail
