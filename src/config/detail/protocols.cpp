// Protocols: what each changes of the one it is based on.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "config/detail/reader.hpp"
#include "config/detail/sections.hpp"

namespace memcap::config::detail {

namespace {

constexpr std::int32_t kMostSteps = 1'000'000'000;

const Names& protocol_keys() {
    static const Names keys{"base",         "optimiser", "learning_rate", "betas",         "weight_decay",
                            "epsilon",      "max_steps", "patience",      "stop_accuracy", "schedule",
                            "warmup_steps", "target",    "init"};
    return keys;
}

template <class Value>
void assign(Value& place, const std::optional<Value>& value) {
    if (value) place = *value;
}

void read_betas(const Node& node, Protocol& values, Diagnostics& diagnostics) {
    constexpr auto kAllowed = "two numbers of at least 0 and below 1, as [0.9, 0.9]";
    if (!node.is_list() || node.children.size() != 2) {
        report_value(node, "betas", kAllowed, diagnostics);
        return;
    }
    const auto is_allowed = [](double x) { return x >= 0.0 && x < 1.0; };
    assign(values.beta1, read_number(node.children[0], "betas", is_allowed, kAllowed, diagnostics));
    assign(values.beta2, read_number(node.children[1], "betas", is_allowed, kAllowed, diagnostics));
}

void read_init(const Node& node, Protocol& values, Diagnostics& diagnostics) {
    constexpr auto kAllowed = "a distribution, or it and its scale, as [normal, 1.0]";
    if (node.is_scalar()) {
        assign(values.init, read_choice(node, "init", {InitKind::normal}, diagnostics));
        return;
    }
    if (!node.is_list() || node.children.size() != 2) {
        report_value(node, "init", kAllowed, diagnostics);
        return;
    }
    assign(values.init, read_choice(node.children[0], "init", {InitKind::normal}, diagnostics));
    assign(values.init_scale, read_number(
                                  node.children[1], "init", [](double x) { return x >= 0.0; },
                                  "a scale of at least 0", diagnostics));
}

void read_number_key(MapReader& map, std::string_view key, bool (*is_allowed)(double),
                     std::string_view allowed, double& place) {
    if (const Node* node = map.find(key)) {
        assign(place, read_number(*node, key, is_allowed, allowed, map.diagnostics()));
    }
}

void read_steps_key(MapReader& map, std::string_view key, std::int32_t lowest, std::int32_t& place) {
    if (const Node* node = map.find(key)) {
        assign(place, read_integer<std::int32_t>(*node, key, lowest, kMostSteps, map.diagnostics()));
    }
}

/// Puts the values that the entry names over those of its base.
void read_values(MapReader& map, Protocol& values) {
    constexpr auto kPositive = [](double x) { return x > 0.0; };
    constexpr auto kNotNegative = [](double x) { return x >= 0.0; };
    constexpr auto kFraction = [](double x) { return x > 0.0 && x <= 1.0; };
    Diagnostics& diagnostics = map.diagnostics();
    if (const Node* node = map.find("optimiser")) {
        assign(values.optimiser, read_choice(*node, "optimiser", {OptimiserKind::adamw}, diagnostics));
    }
    read_number_key(map, "learning_rate", kPositive, "a number above 0", values.learning_rate);
    if (const Node* node = map.find("betas")) read_betas(*node, values, diagnostics);
    read_number_key(map, "weight_decay", kNotNegative, "a number of at least 0", values.weight_decay);
    read_number_key(map, "epsilon", kPositive, "a number above 0", values.epsilon);
    read_steps_key(map, "max_steps", 1, values.max_steps);
    read_steps_key(map, "patience", 1, values.patience);
    read_number_key(map, "stop_accuracy", kFraction, "a number above 0, at most 1", values.stop_accuracy);
    if (const Node* node = map.find("schedule")) {
        assign(values.schedule,
               read_choice(*node, "schedule", {Schedule::constant, Schedule::cosine, Schedule::linear},
                           diagnostics));
    }
    read_steps_key(map, "warmup_steps", 0, values.warmup_steps);
    if (const Node* node = map.find("target")) {
        assign(values.target, read_choice(*node, "target", {Target::after_first, Target::all}, diagnostics));
    }
    if (const Node* node = map.find("init")) read_init(*node, values, diagnostics);
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
        MapReader map(entry, fmt::format("protocol '{}'", entry.key), protocol_keys(), diagnostics_);
        Protocol values = base_of(map);
        if (map.usable()) {
            read_values(map, values);
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
