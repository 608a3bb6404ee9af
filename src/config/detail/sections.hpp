// The sections of an experiment file. Each reader reports all mistakes of its section and returns what it
// could read; a name is returned even where its entry is wrong, so that sweeps which use it are not blamed.
#pragma once

#include <filesystem>
#include <vector>

#include "config/detail/tree.hpp"
#include "memcap/config/experiment.hpp"
#include "memcap/config/load.hpp"

namespace memcap::config::detail {

/// Where relative paths start, and whether they are looked for.
struct PathRules {
    std::filesystem::path folder;
    Paths paths = Paths::must_exist;

    std::filesystem::path resolve(const std::string& text) const;
};

std::vector<Model> read_models(const Node& node, const PathRules& rules, Diagnostics& diagnostics);
std::vector<Corpus> read_corpora(const Node& node, const PathRules& rules, Diagnostics& diagnostics);
/// `node` is null where the file defines none; `paper` is always first in the result.
std::vector<NamedProtocol> read_protocols(const Node* node, Diagnostics& diagnostics);
/// Reads the sweeps of an experiment whose other sections are read.
std::vector<Sweep> read_sweeps(const Node& node, const Experiment& experiment, Diagnostics& diagnostics);
StoreOptions read_store(const Node& node, Diagnostics& diagnostics);
RunOptions read_run(const Node& node, const PathRules& rules, Diagnostics& diagnostics);

/// Reports a name that cannot be one.
void check_name(const Node& entry, std::string_view title, Diagnostics& diagnostics);

}  // namespace memcap::config::detail
