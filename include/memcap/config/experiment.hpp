// An experiment: the content of its YAML file as plain values, checked and with every default filled in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/protocol.hpp"
#include "memcap/config/diagnostics.hpp"

namespace memcap::config {

/// Where the samples of a corpus come from.
enum class CorpusKind : std::uint8_t { text, csv, jsonl, random_words };
/// Which sentences of a sample are the text to be held; the other half is the prefix.
enum class Part : std::uint8_t { second_half, first_half, all };
/// How a sample is split into sentences: the helper's own rule, or NLTK's punkt model.
enum class Sentences : std::uint8_t { rule, punkt };
/// What stands between the sentences of a half: the text's own white space, or one space.
enum class Joined : std::uint8_t { as_written, space };
/// Which inputs begin with what the tokenizer puts before a text: all, or those without a prefix.
enum class Opened : std::uint8_t { always, without_prefix };
enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda };
/// How ranks come by the weights.
enum class WeightsChoice : std::uint8_t { automatic, broadcast, per_node, per_rank };

std::string_view to_string(CorpusKind value);
std::string_view to_string(Part value);
std::string_view to_string(Sentences value);
std::string_view to_string(Joined value);
std::string_view to_string(Opened value);
/// `automatic` is written "auto".
std::string_view to_string(DeviceChoice value);
/// `automatic` is written "auto".
std::string_view to_string(WeightsChoice value);

/// A model of the experiment. Equality is of name and path: where it was written does not count.
struct Model {
    std::string name;
    std::filesystem::path path;  ///< absolute folder
    Location where;              ///< of the path in the experiment file

    bool operator==(const Model& other) const { return name == other.name && path == other.path; }
};

/// A corpus of the experiment. Equality leaves out where it was written.
struct Corpus {
    std::string name;
    CorpusKind kind = CorpusKind::text;
    std::filesystem::path path;  ///< absolute file or folder; the word list of random_words
    Part part = Part::second_half;
    Sentences sentences = Sentences::rule;
    Joined joined = Joined::as_written;
    Opened opened = Opened::always;
    std::int32_t samples = 0;  ///< the first so many; 0 = all there are (never 0 for random_words)
    Location where;            ///< of the path in the experiment file

    bool operator==(const Corpus& other) const {
        return name == other.name && kind == other.kind && path == other.path && part == other.part &&
               sentences == other.sentences && joined == other.joined && opened == other.opened &&
               samples == other.samples;
    }
};

/// A protocol under its name, with all values resolved.
struct NamedProtocol {
    std::string name;
    Protocol values;

    bool operator==(const NamedProtocol&) const = default;
};

/// Lengths drawn for each sample, uniform over lowest..highest, both included.
struct LengthRange {
    std::int32_t lowest = 2;
    std::int32_t highest = 2;

    bool operator==(const LengthRange&) const = default;
};

/// A full product of axes. No axis is empty or names a value twice.
struct Sweep {
    std::vector<std::string> models;
    std::vector<std::string> corpora;
    std::vector<std::int32_t> memory_vectors;  ///< K, each >= 1
    std::vector<std::int32_t> lengths;         ///< N, each >= 2; empty if lengths are drawn
    std::optional<LengthRange> drawn_lengths;  ///< only with corpora of random words
    std::vector<std::uint64_t> seeds{0};
    std::vector<std::string> protocols{"paper"};
    std::vector<Precision> precisions{Precision::float32};
    std::vector<std::int32_t> prefixes{0};  ///< tokens, each >= 0

    bool operator==(const Sweep&) const = default;
};

/// What is kept beside the numbers of a trial.
struct StoreOptions {
    bool vectors = true;
    std::int32_t curve_every = 10;  ///< evaluations between points of the learning curve; 0 = no curves

    bool operator==(const StoreOptions&) const = default;
};

/// Limits of RunOptions.
inline constexpr std::int32_t kMostSlots = 65'536;
inline constexpr std::int32_t kMostThreads = 4'096;

/// How the experiment is run: no part of any trial's identity. Empty values are chosen by memcap.
struct RunOptions {
    DeviceChoice device = DeviceChoice::automatic;
    std::optional<std::int32_t> slots;    ///< trials side by side on one device
    std::optional<std::int32_t> threads;  ///< of one rank
    WeightsChoice weights = WeightsChoice::automatic;
    std::filesystem::path python;  ///< interpreter of the tokenizer helper; empty = the environment's

    bool operator==(const RunOptions&) const = default;
};

struct Experiment {
    std::string name;
    std::vector<Model> models;             ///< in the order of the file
    std::vector<Corpus> corpora;           ///< in the order of the file
    std::vector<NamedProtocol> protocols;  ///< `paper` first, then in the order of the file
    std::vector<Sweep> sweeps;             ///< at least one
    StoreOptions store;
    RunOptions run;

    bool operator==(const Experiment&) const = default;
};

/// The entry called `name`; the experiment must have it.
const Model& model_named(const Experiment& experiment, std::string_view name);
const Corpus& corpus_named(const Experiment& experiment, std::string_view name);
const Protocol& protocol_named(const Experiment& experiment, std::string_view name);

}  // namespace memcap::config
