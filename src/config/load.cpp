// From YAML text to an Experiment, or to the list of all its mistakes.
#include "memcap/config/load.hpp"

#include <algorithm>

#include "config/detail/overrides.hpp"
#include "config/detail/reader.hpp"
#include "config/detail/sections.hpp"
#include "memcap/base/files.hpp"

namespace memcap::config {

namespace {

using detail::Diagnostics;
using detail::Node;

std::string read_name(const Node& node, Diagnostics& diagnostics) {
    const auto name = detail::read_text(node, "experiment", "a name", diagnostics);
    if (name && !detail::is_valid_name(*name)) {
        detail::report_value(node, "experiment", std::string(detail::kValidNames), diagnostics);
    }
    return name.value_or("");
}

Experiment read_experiment(const Node& root, const detail::PathRules& rules, Diagnostics& diagnostics) {
    Experiment experiment;
    if (root.kind == detail::NodeKind::unusable) return experiment;
    detail::MapReader map(root, "the experiment file",
                          {"experiment", "models", "corpora", "protocols", "sweeps", "store", "run"},
                          diagnostics);
    if (!map.usable()) return experiment;
    if (const Node* name = map.require("experiment", "a name"))
        experiment.name = read_name(*name, diagnostics);
    if (const Node* models = map.require("models", "a map of names to {path: FOLDER}")) {
        experiment.models = read_models(*models, rules, diagnostics);
    }
    if (const Node* corpora = map.require("corpora", "a map of names to {kind: ..., path: ...}")) {
        experiment.corpora = read_corpora(*corpora, rules, diagnostics);
    }
    experiment.protocols = read_protocols(map.find("protocols"), diagnostics);
    if (const Node* sweeps = map.require("sweeps", "a list of sweeps, each a map of its axes")) {
        experiment.sweeps = read_sweeps(*sweeps, experiment, diagnostics);
    }
    if (const Node* store = map.find("store")) experiment.store = read_store(*store, diagnostics);
    if (const Node* run = map.find("run")) experiment.run = read_run(*run, rules, diagnostics);
    return experiment;
}

/// The file's mistakes from top to bottom, then those of the options in their order.
void sort(Diagnostics& diagnostics) {
    const auto place = [](const Diagnostic& diagnostic) {
        const Location& where = diagnostic.where;
        return std::tuple(where.line == 0, where.line, where.column);
    };
    std::stable_sort(diagnostics.begin(), diagnostics.end(),
                     [&](const Diagnostic& a, const Diagnostic& b) { return place(a) < place(b); });
}

}  // namespace

Experiment load(const std::filesystem::path& file, std::span<const std::string> overrides, Paths paths) {
    return parse(read_text_file(file), file, overrides, paths);
}

Experiment parse(std::string_view text, const std::filesystem::path& file,
                 std::span<const std::string> overrides, Paths paths) {
    Diagnostics diagnostics;
    Node root = detail::read_yaml(text, Location{.file = file.string(), .line = 1, .column = 1}, diagnostics);
    const bool readable = root.kind != detail::NodeKind::unusable;
    if (readable) detail::apply_overrides(root, overrides, diagnostics);
    detail::report_unset_variables(root, diagnostics);
    const detail::PathRules rules{.folder = std::filesystem::absolute(file).parent_path(), .paths = paths};
    Experiment experiment = read_experiment(root, rules, diagnostics);
    if (!diagnostics.empty()) {
        sort(diagnostics);
        throw ConfigError(std::move(diagnostics));
    }
    return experiment;
}

}  // namespace memcap::config
