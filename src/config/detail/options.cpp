// The sections `store` and `run`: what is kept, and how the work is done.
#include "config/detail/reader.hpp"
#include "config/detail/sections.hpp"

namespace memcap::config::detail {

namespace {

constexpr std::int32_t kMostEvaluations = 1'000'000'000;

std::optional<std::int32_t> read_auto_or_count(MapReader& map, std::string_view key, std::int32_t highest) {
    const Node* node = map.find(key);
    if (node == nullptr || (node->is_scalar() && node->scalar == "auto")) return std::nullopt;
    return read_integer<std::int32_t>(*node, key, 1, highest, map.diagnostics(), "auto or ");
}

std::optional<DeviceChoice> read_device(const Node& node, Diagnostics& diagnostics) {
    // By edits alone, "cpu" would be nearest to it.
    if (node.is_scalar() && node.scalar == "gpu") {
        report_value(node, "device", "auto, cpu, cuda", diagnostics, "cuda");
        return std::nullopt;
    }
    return read_choice(node, "device", {DeviceChoice::automatic, DeviceChoice::cpu, DeviceChoice::cuda},
                       diagnostics);
}

}  // namespace

StoreOptions read_store(const Node& node, Diagnostics& diagnostics) {
    StoreOptions store;
    MapReader map(node, "store", {"vectors", "curve_every"}, diagnostics);
    if (const Node* vectors = map.find("vectors")) {
        store.vectors = read_bool(*vectors, "vectors", diagnostics).value_or(true);
    }
    if (const Node* every = map.find("curve_every")) {
        store.curve_every =
            read_integer<std::int32_t>(*every, "curve_every", 0, kMostEvaluations, diagnostics).value_or(0);
    }
    return store;
}

RunOptions read_run(const Node& node, const PathRules& rules, Diagnostics& diagnostics) {
    RunOptions run;
    MapReader map(node, "run", {"device", "slots", "threads", "weights", "python"}, diagnostics);
    if (const Node* device = map.find("device")) {
        run.device = read_device(*device, diagnostics).value_or(DeviceChoice::automatic);
    }
    run.slots = read_auto_or_count(map, "slots", kMostSlots);
    run.threads = read_auto_or_count(map, "threads", kMostThreads);
    if (const Node* weights = map.find("weights")) {
        run.weights = read_choice(*weights, "weights",
                                  {WeightsChoice::automatic, WeightsChoice::broadcast,
                                   WeightsChoice::per_node, WeightsChoice::per_rank},
                                  diagnostics)
                          .value_or(WeightsChoice::automatic);
    }
    if (const Node* python = map.find("python")) {
        const auto text =
            read_text(*python, "python", "auto, a command or the path of an interpreter", diagnostics);
        // A bare command is left to PATH, as a shell would.
        const bool is_command = text && text->find('/') == std::string::npos;
        if (text && *text != "auto")
            run.python = is_command ? std::filesystem::path(*text) : rules.resolve(*text);
    }
    return run;
}

}  // namespace memcap::config::detail
