// Names of the experiment's choices, and look-ups by name.
#include "memcap/config/experiment.hpp"

#include <algorithm>

#include "memcap/base/contracts.hpp"

namespace memcap::config {

std::string_view to_string(CorpusKind value) {
    switch (value) {
        case CorpusKind::text:
            return "text";
        case CorpusKind::csv:
            return "csv";
        case CorpusKind::jsonl:
            return "jsonl";
        case CorpusKind::random_words:
            return "random_words";
    }
    return "unknown";
}

std::string_view to_string(Part value) {
    switch (value) {
        case Part::second_half:
            return "second_half";
        case Part::first_half:
            return "first_half";
        case Part::all:
            return "all";
    }
    return "unknown";
}

std::string_view to_string(Sentences value) {
    return value == Sentences::rule ? "rule" : "punkt";
}

std::string_view to_string(Joined value) {
    return value == Joined::as_written ? "as_written" : "space";
}

std::string_view to_string(Opened value) {
    return value == Opened::always ? "always" : "without_prefix";
}

std::string_view to_string(DeviceChoice value) {
    switch (value) {
        case DeviceChoice::automatic:
            return "auto";
        case DeviceChoice::cpu:
            return "cpu";
        case DeviceChoice::cuda:
            return "cuda";
    }
    return "unknown";
}

std::string_view to_string(WeightsChoice value) {
    switch (value) {
        case WeightsChoice::automatic:
            return "auto";
        case WeightsChoice::broadcast:
            return "broadcast";
        case WeightsChoice::per_node:
            return "per_node";
        case WeightsChoice::per_rank:
            return "per_rank";
    }
    return "unknown";
}

namespace {
template <class Entry>
const Entry& entry_named(const std::vector<Entry>& entries, std::string_view name) {
    const auto entry =
        std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == name; });
    MEMCAP_EXPECT(entry != entries.end());
    return *entry;
}
}  // namespace

const Model& model_named(const Experiment& experiment, std::string_view name) {
    return entry_named(experiment.models, name);
}

const Corpus& corpus_named(const Experiment& experiment, std::string_view name) {
    return entry_named(experiment.corpora, name);
}

const Protocol& protocol_named(const Experiment& experiment, std::string_view name) {
    return entry_named(experiment.protocols, name).values;
}

}  // namespace memcap::config
