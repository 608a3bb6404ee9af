// Sweeps: their axes, and which values of different axes exclude each other.
#include <fmt/format.h>

#include <algorithm>

#include "config/detail/reader.hpp"
#include "config/detail/sections.hpp"

namespace memcap::config::detail {

namespace {

/// Far beyond any model's context; keeps sums of lengths within 32 bits.
constexpr std::int32_t kMostTokens = 10'000'000;

/// The names that an axis may hold.
template <class Entries>
Names names_of(const Entries& entries) {
    Names names;
    for (const auto& entry : entries) names.push_back(entry.name);
    return names;
}

std::vector<std::string> read_names(const Node& node, std::string_view key, std::string_view thing,
                                    const Names& known, Diagnostics& diagnostics) {
    const auto read_one = [&](const Node& item) -> std::optional<std::string> {
        const bool found = std::find(known.begin(), known.end(), item.scalar) != known.end();
        // Without a single name, the section that should define them has been reported already.
        if (item.is_scalar() && (found || known.empty())) return item.scalar;
        if (item.is_scalar()) {
            report(diagnostics, item.where, fmt::format("{}: unknown {} '{}'", key, thing, item.scalar),
                   listed(known), nearest(item.scalar, known));
        } else {
            report_value(item, key, listed(known), diagnostics);
        }
        return std::nullopt;
    };
    return read_axis<std::string>(node, key, fmt::format("a list of {} names: {}", thing, listed(known)),
                                  read_one, diagnostics);
}

template <class Integer>
std::vector<Integer> read_integers(const Node& node, std::string_view key, Integer lowest, Integer highest,
                                   Diagnostics& diagnostics) {
    const auto read_one = [&](const Node& item) {
        return read_integer<Integer>(item, key, lowest, highest, diagnostics);
    };
    return read_axis<Integer>(node, key, "a list, each " + integers_allowed(lowest, highest), read_one,
                              diagnostics);
}

void read_drawn_lengths(const Node& node, Sweep& sweep, Diagnostics& diagnostics) {
    constexpr auto kAllowed = "the lowest and the highest length, as [2, 256]";
    MapReader map(node, "lengths", {"uniform"}, diagnostics);
    const Node* range = map.require("uniform", kAllowed);
    if (range == nullptr) return;
    if (!range->is_list() || range->children.size() != 2) {
        report_value(*range, "uniform", kAllowed, diagnostics);
        return;
    }
    const auto lowest =
        read_integer<std::int32_t>(range->children[0], "uniform", 2, kMostTokens, diagnostics);
    const auto highest =
        read_integer<std::int32_t>(range->children[1], "uniform", 2, kMostTokens, diagnostics);
    if (!lowest || !highest) return;
    if (*lowest > *highest) {
        report(diagnostics, range->where, fmt::format("uniform: found [{}, {}]", *lowest, *highest),
               kAllowed);
    }
    sweep.drawn_lengths = LengthRange{.lowest = *lowest, .highest = *highest};
}

void read_lengths(MapReader& map, Sweep& sweep) {
    const Node* node = map.require("lengths", "a list of lengths in tokens, or {uniform: [2, 256]}");
    if (node == nullptr) return;
    if (node->is_map()) {
        read_drawn_lengths(*node, sweep, map.diagnostics());
    } else {
        sweep.lengths = read_integers<std::int32_t>(*node, "lengths", 2, kMostTokens, map.diagnostics());
    }
}

const Corpus* corpus_of(const Experiment& experiment, const Node& item) {
    for (const Corpus& corpus : experiment.corpora) {
        if (item.is_scalar() && corpus.name == item.scalar) return &corpus;
    }
    return nullptr;
}

std::span<const Node> items_of(const Node* node) {
    if (node == nullptr) return {};
    return node->is_list() ? std::span<const Node>(node->children) : std::span<const Node>(node, 1);
}

void check_drawn_lengths(MapReader& map, const Sweep& sweep, const Experiment& experiment) {
    if (!sweep.drawn_lengths) return;
    for (const Node& item : items_of(map.find("corpora"))) {
        const Corpus* corpus = corpus_of(experiment, item);
        if (corpus == nullptr || corpus->kind == CorpusKind::random_words) continue;
        report(map.diagnostics(), item.where,
               fmt::format("corpora: '{}' has no drawn lengths (lengths: uniform)", corpus->name),
               "corpora of kind random_words, or a list of lengths");
    }
}

void check_prefixes(MapReader& map, const Experiment& experiment) {
    const auto prefixes = items_of(map.find("prefix"));
    const auto visible = std::find_if(prefixes.begin(), prefixes.end(), [](const Node& item) {
        const bool is_count =
            is_plain(item) && item.scalar.find_first_not_of("0123456789") == std::string::npos;
        return is_count && item.scalar.find_first_not_of('0') != std::string::npos;
    });
    if (visible == prefixes.end()) return;
    for (const Node& item : items_of(map.find("corpora"))) {
        const Corpus* corpus = corpus_of(experiment, item);
        if (corpus == nullptr) continue;
        if (corpus->kind == CorpusKind::random_words) {
            report(map.diagnostics(), visible->where,
                   fmt::format("prefix: found {} with corpus '{}', random words have no other half",
                               visible->scalar, corpus->name),
                   "0 for corpora of kind random_words");
        } else if (corpus->part == Part::all && corpus->kind != CorpusKind::csv) {
            report(map.diagnostics(), visible->where,
                   fmt::format("prefix: found {} with corpus '{}', whose part: all leaves no other half",
                               visible->scalar, corpus->name),
                   "0, or a corpus with part: second_half or first_half");
        }
    }
}

Sweep read_sweep(const Node& node, std::size_t number, const Experiment& experiment,
                 Diagnostics& diagnostics) {
    Sweep sweep;
    MapReader map(
        node, fmt::format("sweeps.{}", number),
        {"models", "corpora", "memory_vectors", "lengths", "seeds", "protocols", "precision", "prefix"},
        diagnostics);
    if (!map.usable()) return sweep;
    const Names models = names_of(experiment.models);
    const Names corpora = names_of(experiment.corpora);
    if (const Node* axis = map.require("models", listed(models))) {
        sweep.models = read_names(*axis, "models", "model", models, diagnostics);
    }
    if (const Node* axis = map.require("corpora", listed(corpora))) {
        sweep.corpora = read_names(*axis, "corpora", "corpus", corpora, diagnostics);
    }
    if (const Node* axis = map.require("memory_vectors", "a list of numbers of vectors, as [1, 4]")) {
        sweep.memory_vectors =
            read_integers<std::int32_t>(*axis, "memory_vectors", 1, kMostTokens, diagnostics);
    }
    read_lengths(map, sweep);
    if (const Node* axis = map.find("seeds")) {
        sweep.seeds = read_integers<std::uint64_t>(*axis, "seeds", 0,
                                                   std::numeric_limits<std::uint64_t>::max(), diagnostics);
    }
    if (const Node* axis = map.find("protocols")) {
        sweep.protocols =
            read_names(*axis, "protocols", "protocol", names_of(experiment.protocols), diagnostics);
    }
    if (const Node* axis = map.find("precision")) {
        const auto read_one = [&](const Node& item) {
            return read_choice(item, "precision",
                               {Precision::float32, Precision::bfloat16, Precision::float16, Precision::tf32},
                               diagnostics);
        };
        sweep.precisions = read_axis<Precision>(
            *axis, "precision", "float32, bfloat16, float16, tf32, or a list of them", read_one, diagnostics);
    }
    if (const Node* axis = map.find("prefix")) {
        sweep.prefixes = read_integers<std::int32_t>(*axis, "prefix", 0, kMostTokens, diagnostics);
    }
    check_drawn_lengths(map, sweep, experiment);
    check_prefixes(map, experiment);
    return sweep;
}

}  // namespace

std::vector<Sweep> read_sweeps(const Node& node, const Experiment& experiment, Diagnostics& diagnostics) {
    std::vector<Sweep> sweeps;
    if (!node.is_list() || node.children.empty()) {
        report_value(node, "sweeps", "a list of sweeps, each a map of its axes", diagnostics);
        return sweeps;
    }
    for (const Node& item : node.children) {
        sweeps.push_back(read_sweep(item, sweeps.size(), experiment, diagnostics));
    }
    return sweeps;
}

}  // namespace memcap::config::detail
