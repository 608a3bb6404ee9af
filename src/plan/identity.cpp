// The hashes behind trial ids and initial memories. What they are made of is fixed: a change makes every
// finished trial a stranger to its experiment, and needs a new rule version.
#include "memcap/plan/identity.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "memcap/base/bytes.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/protocol_keys.hpp"

namespace memcap::plan {

namespace {

constexpr std::string_view kTrialRule = "memcap trial 1";
constexpr std::string_view kInitialMemoryRule = "memcap initial memory 1";

}  // namespace

TrialIds::TrialIds(const ModelFacts& model, std::int32_t memory_vectors, std::uint64_t seed,
                   Precision precision, const Protocol& protocol) {
    ByteWriter before;
    before.text(kTrialRule);
    before.text(model.config_sha256);
    before.text(model.weights_sha256);
    before_tokens_ = std::move(before).bytes();
    ByteWriter behind;
    behind.number(memory_vectors);
    behind.number(seed);
    behind.text(to_string(precision));
    write_identity(behind, protocol);
    behind_tokens_ = std::move(behind).bytes();
}

Id128 TrialIds::of(std::span<const std::int32_t> prefix, std::span<const std::int32_t> text) {
    const std::array<std::uint64_t, 1> prefix_count{prefix.size()};
    const std::array<std::uint64_t, 1> text_count{text.size()};
    const std::array<std::span<const std::byte>, 6> parts{
        before_tokens_,        std::as_bytes(std::span(prefix_count)),
        std::as_bytes(prefix), std::as_bytes(std::span(text_count)),
        std::as_bytes(text),   behind_tokens_};
    std::size_t size_bytes = 0;
    for (const auto& part : parts) size_bytes += part.size();
    all_.resize(size_bytes);
    auto end = all_.begin();
    for (const auto& part : parts) end = std::copy(part.begin(), part.end(), end);
    return hash128(all_);
}

Id128 trial_id(const Trial& trial, const ModelFacts& model) {
    return TrialIds(model, trial.memory_vectors, trial.seed, trial.precision, trial.protocol)
        .of(trial.prefix, trial.text);
}

Id128 initial_memory_key(const Trial& trial) {
    ByteWriter tokens;
    tokens.array(trial.prefix);
    tokens.array(trial.text);
    ByteWriter writer;
    writer.text(kInitialMemoryRule);
    writer.number(trial.seed);
    writer.id(hash128(tokens.bytes()));
    writer.number(trial.memory_vectors);
    return hash128(writer.bytes());
}

}  // namespace memcap::plan
