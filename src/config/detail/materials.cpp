// Models and corpora: what an experiment is made on.
#include <fmt/format.h>

#include <limits>

#include "config/detail/reader.hpp"
#include "config/detail/sections.hpp"
#include "memcap/base/utf8.hpp"

namespace memcap::config::detail {

namespace {

constexpr std::int32_t kMostSamples = 10'000'000;

enum class Expected { folder, file, folder_or_file };

/// What a path that leads nowhere was to be.
std::string wanted_path(const Node& node, std::string_view allowed, Paths paths) {
    std::string wanted = fmt::format("{} that exists", allowed);
    if (node.scalar == "~" || node.scalar.starts_with("~/"))
        return wanted + fmt::format(" (~ stands for itself here: write ${{HOME}}{})", node.scalar.substr(1));
    if (paths == Paths::texts_may_be_elsewhere)
        wanted += ", or to plan without it a path in a folder that does not exist either";
    return wanted;
}

void check_path(const Node& node, std::string_view key, const std::filesystem::path& path, Expected expected,
                Paths paths, Diagnostics& diagnostics) {
    std::error_code ignored;
    const bool is_folder = std::filesystem::is_directory(path, ignored);
    const bool is_file = std::filesystem::is_regular_file(path, ignored);
    const std::string_view allowed = expected == Expected::folder ? "a folder"
                                     : expected == Expected::file ? "a file"
                                                                  : "a folder or file";
    if (!is_folder && !is_file) {
        if (paths == Paths::texts_may_be_elsewhere && !std::filesystem::exists(path.parent_path(), ignored))
            return;
        report(diagnostics, node.where, fmt::format("{}: '{}' does not exist", key, path.string()),
               wanted_path(node, allowed, paths));
    } else if ((expected == Expected::folder && !is_folder) || (expected == Expected::file && !is_file)) {
        report(diagnostics, node.where,
               fmt::format("{}: '{}' is a {}", key, path.string(), is_folder ? "folder" : "file"),
               std::string(allowed));
    }
}

/// Reads a required path; an empty one after a report.
std::filesystem::path read_path(MapReader& map, std::string_view key, Expected expected,
                                const PathRules& rules, Location& where) {
    const Node* node = map.require(key, "a path, relative to the experiment file");
    if (node == nullptr) return {};
    where = node->where;
    const auto text = read_text(*node, key, "a path, relative to the experiment file", map.diagnostics());
    if (!text) return {};
    std::filesystem::path path = rules.resolve(*text);
    if (find_invalid_utf8(path.string())) {
        report(map.diagnostics(), node->where,
               fmt::format("the path {} is not UTF-8", printable(path.string())),
               "a path in UTF-8, since files of results hold it: rename the folder or reach it by a link");
        return {};
    }
    // Without its folder a model cannot even be planned.
    const bool is_model = expected == Expected::folder;
    const Paths paths =
        is_model && rules.paths == Paths::texts_may_be_elsewhere ? Paths::must_exist : rules.paths;
    if (paths != Paths::may_be_absent) check_path(*node, key, path, expected, paths, map.diagnostics());
    return path;
}

Names corpus_keys(CorpusKind kind) {
    return kind == CorpusKind::random_words
               ? Names{"kind", "vocabulary", "samples"}
               : Names{"kind", "path", "part", "sentences", "joined", "opened", "samples"};
}

/// The kind alone, read before the keys that it allows are known.
std::optional<CorpusKind> read_kind(const Node& entry, Diagnostics& diagnostics) {
    for (const Node& child : entry.children) {
        if (child.key != "kind") continue;
        return read_choice(child, "kind",
                           {CorpusKind::text, CorpusKind::csv, CorpusKind::jsonl, CorpusKind::random_words},
                           diagnostics);
    }
    if (entry.is_map()) {
        report(diagnostics, entry.where, fmt::format("key 'kind' is missing in corpus '{}'", entry.key),
               "text, csv, jsonl, random_words");
    }
    return std::nullopt;
}

std::int32_t read_samples(const Node& node, bool all_allowed, Diagnostics& diagnostics) {
    if (all_allowed && node.is_scalar() && node.scalar == "all") return 0;
    return read_integer<std::int32_t>(node, "samples", 1, kMostSamples, diagnostics,
                                      all_allowed ? "all or " : "")
        .value_or(1);
}

void read_word_list(MapReader& map, const PathRules& rules, Corpus& corpus) {
    corpus.path = read_path(map, "vocabulary", Expected::file, rules, corpus.where);
    if (const Node* samples = map.require("samples", integers_allowed<std::int32_t>(1, kMostSamples))) {
        corpus.samples = read_samples(*samples, false, map.diagnostics());
    }
}

void read_texts(MapReader& map, const PathRules& rules, Corpus& corpus) {
    const Expected expected = corpus.kind == CorpusKind::text ? Expected::folder_or_file : Expected::file;
    corpus.path = read_path(map, "path", expected, rules, corpus.where);
    if (const Node* part = map.find("part")) {
        corpus.part =
            read_choice(*part, "part", {Part::second_half, Part::first_half, Part::all}, map.diagnostics())
                .value_or(Part::second_half);
    }
    if (const Node* sentences = map.find("sentences")) {
        corpus.sentences =
            read_choice(*sentences, "sentences", {Sentences::rule, Sentences::punkt}, map.diagnostics())
                .value_or(Sentences::rule);
    }
    if (const Node* joined = map.find("joined")) {
        corpus.joined = read_choice(*joined, "joined", {Joined::as_written, Joined::space}, map.diagnostics())
                            .value_or(Joined::as_written);
    }
    if (const Node* opened = map.find("opened")) {
        corpus.opened =
            read_choice(*opened, "opened", {Opened::always, Opened::without_prefix}, map.diagnostics())
                .value_or(Opened::always);
    }
    if (const Node* samples = map.find("samples"))
        corpus.samples = read_samples(*samples, true, map.diagnostics());
}

/// Reports anything but a map with at least one entry.
bool is_table(const Node& node, std::string_view key, std::string_view allowed, Diagnostics& diagnostics) {
    if (node.is_map() && !node.children.empty()) return true;
    report_value(node, key, std::string(allowed), diagnostics);
    return false;
}

}  // namespace

std::filesystem::path PathRules::resolve(const std::string& text) const {
    const std::filesystem::path path = (folder / text).lexically_normal();
    // "models/" and "models" are one folder and must be one path.
    return path.has_filename() || path == path.root_path() ? path : path.parent_path();
}

void check_name(const Node& entry, std::string_view title, Diagnostics& diagnostics) {
    if (is_valid_name(entry.key)) return;
    report(diagnostics, entry.key_where, fmt::format("{} has the name '{}'", title, entry.key),
           std::string(kValidNames));
}

std::vector<Model> read_models(const Node& node, const PathRules& rules, Diagnostics& diagnostics) {
    std::vector<Model> models;
    if (!is_table(node, "models", "a map of names to {path: FOLDER}", diagnostics)) return models;
    for (const Node& entry : node.children) {
        check_name(entry, "a model", diagnostics);
        Model model{.name = entry.key, .path = {}, .where = entry.where};
        MapReader map(entry, fmt::format("model '{}'", entry.key), {"path"}, diagnostics);
        if (map.usable()) model.path = read_path(map, "path", Expected::folder, rules, model.where);
        models.push_back(std::move(model));
    }
    return models;
}

std::vector<Corpus> read_corpora(const Node& node, const PathRules& rules, Diagnostics& diagnostics) {
    std::vector<Corpus> corpora;
    if (!is_table(node, "corpora", "a map of names to {kind: ..., path: ...}", diagnostics)) return corpora;
    for (const Node& entry : node.children) {
        check_name(entry, "a corpus", diagnostics);
        Corpus corpus;
        corpus.name = entry.key;
        corpus.where = entry.where;
        const auto kind = read_kind(entry, diagnostics);
        if (kind) {
            corpus.kind = *kind;
            MapReader map(entry, fmt::format("corpus '{}' of kind {}", entry.key, to_string(*kind)),
                          corpus_keys(*kind), diagnostics);
            if (*kind == CorpusKind::random_words) {
                read_word_list(map, rules, corpus);
            } else {
                read_texts(map, rules, corpus);
            }
        } else if (!entry.is_map()) {
            MapReader(entry, fmt::format("corpus '{}'", entry.key), corpus_keys(CorpusKind::text),
                      diagnostics);
        }
        corpora.push_back(std::move(corpus));
    }
    return corpora;
}

}  // namespace memcap::config::detail
