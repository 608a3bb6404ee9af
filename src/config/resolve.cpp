// The resolved experiment as YAML.
#include <fmt/format.h>
#include <yaml-cpp/emitter.h>

#include "config/detail/tree.hpp"
#include "memcap/base/protocol_keys.hpp"
#include "memcap/config/load.hpp"

namespace memcap::config {

namespace {

using YAML::BeginMap;
using YAML::BeginSeq;
using YAML::EndMap;
using YAML::EndSeq;
using YAML::Flow;
using YAML::Key;
using YAML::Value;

void write_text(YAML::Emitter& out, std::string_view key, std::string_view text) {
    out << Key << std::string(key) << Value << YAML::DoubleQuoted << detail::escape_variables(text);
}

/// Plain scalars: numbers, and names that YAML reads back as they are.
template <class Number>
void write_plain(YAML::Emitter& out, std::string_view key, const Number& value) {
    out << Key << std::string(key) << Value << fmt::format("{}", value);
}

template <class Values, class ToText>
void write_list(YAML::Emitter& out, std::string_view key, const Values& values, ToText to_text) {
    out << Key << std::string(key) << Value << Flow << BeginSeq;
    for (const auto& value : values) out << to_text(value);
    out << EndSeq;
}

const auto kNumberText = [](const auto& number) { return fmt::format("{}", number); };

void write_models(YAML::Emitter& out, const Experiment& experiment) {
    out << Key << "models" << Value << BeginMap;
    for (const Model& model : experiment.models) {
        out << Key << model.name << Value << Flow << BeginMap;
        write_text(out, "path", model.path.string());
        out << EndMap;
    }
    out << EndMap;
}

void write_corpora(YAML::Emitter& out, const Experiment& experiment) {
    out << Key << "corpora" << Value << BeginMap;
    for (const Corpus& corpus : experiment.corpora) {
        const bool is_random = corpus.kind == CorpusKind::random_words;
        out << Key << corpus.name << Value << Flow << BeginMap;
        write_plain(out, "kind", to_string(corpus.kind));
        write_text(out, is_random ? "vocabulary" : "path", corpus.path.string());
        if (!is_random) {
            write_plain(out, "part", to_string(corpus.part));
            write_plain(out, "sentences", to_string(corpus.sentences));
            write_plain(out, "joined", to_string(corpus.joined));
            write_plain(out, "opened", to_string(corpus.opened));
        }
        if (corpus.samples == 0) {
            write_plain(out, "samples", "all");
        } else {
            write_plain(out, "samples", corpus.samples);
        }
        out << EndMap;
    }
    out << EndMap;
}

void write_protocol(YAML::Emitter& out, const Protocol& values) {
    out << BeginMap;
    for (const ProtocolKey& key : protocol_keys()) {
        if (key.rule > 1 && is_equal(key, values, Protocol{})) continue;
        std::vector<std::string> texts;
        for (const ProtocolField& field : key.fields) {
            for (auto& text : texts_of(field, values)) texts.push_back(std::move(text));
        }
        if (texts.size() == 1) {
            write_plain(out, key.name, texts.front());
        } else {
            write_list(out, key.name, texts, kNumberText);
        }
    }
    out << EndMap;
}

void write_protocols(YAML::Emitter& out, const Experiment& experiment) {
    out << Key << "protocols" << Value << BeginMap;
    for (const NamedProtocol& protocol : experiment.protocols) {
        if (protocol.name == "paper") continue;
        out << Key << protocol.name << Value;
        write_protocol(out, protocol.values);
    }
    out << EndMap;
}

void write_sweeps(YAML::Emitter& out, const Experiment& experiment) {
    out << Key << "sweeps" << Value << BeginSeq;
    for (const Sweep& sweep : experiment.sweeps) {
        out << BeginMap;
        write_list(out, "models", sweep.models, kNumberText);
        write_list(out, "corpora", sweep.corpora, kNumberText);
        write_list(out, "memory_vectors", sweep.memory_vectors, kNumberText);
        if (sweep.drawn_lengths) {
            out << Key << "lengths" << Value << Flow << BeginMap;
            write_list(out, "uniform", std::array{sweep.drawn_lengths->lowest, sweep.drawn_lengths->highest},
                       kNumberText);
            out << EndMap;
        } else {
            write_list(out, "lengths", sweep.lengths, kNumberText);
        }
        write_list(out, "seeds", sweep.seeds, kNumberText);
        write_list(out, "protocols", sweep.protocols, kNumberText);
        write_list(out, "precision", sweep.precisions, [](Precision p) { return std::string(to_string(p)); });
        write_list(out, "prefix", sweep.prefixes, kNumberText);
        out << EndMap;
    }
    out << EndSeq;
}

void write_options(YAML::Emitter& out, const Experiment& experiment) {
    const auto count = [](const std::optional<std::int32_t>& value) {
        return value ? fmt::format("{}", *value) : std::string("auto");
    };
    out << Key << "store" << Value << Flow << BeginMap;
    write_plain(out, "vectors", experiment.store.vectors);
    write_plain(out, "curve_every", experiment.store.curve_every);
    out << EndMap << Key << "run" << Value << Flow << BeginMap;
    write_plain(out, "device", to_string(experiment.run.device));
    write_plain(out, "slots", count(experiment.run.slots));
    write_plain(out, "threads", count(experiment.run.threads));
    write_plain(out, "weights", to_string(experiment.run.weights));
    write_text(out, "python", experiment.run.python.empty() ? "auto" : experiment.run.python.string());
    out << EndMap;
}

}  // namespace

std::string resolved_yaml(const Experiment& experiment) {
    YAML::Emitter out;
    out << BeginMap;
    write_plain(out, "experiment", experiment.name);
    write_models(out, experiment);
    write_corpora(out, experiment);
    write_protocols(out, experiment);
    write_sweeps(out, experiment);
    write_options(out, experiment);
    out << EndMap;
    return std::string(out.c_str()) + "\n";
}

}  // namespace memcap::config
