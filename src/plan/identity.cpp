// The hashes behind trial ids and initial memories. What they are made of is fixed: a change makes every
// finished trial a stranger to its experiment, and needs a new rule version.
#include "memcap/plan/identity.hpp"

#include "memcap/base/bytes.hpp"
#include "memcap/base/hash.hpp"

namespace memcap::plan {

namespace {

constexpr std::string_view kTrialRule = "memcap trial 1";
constexpr std::string_view kInitialMemoryRule = "memcap initial memory 1";

/// Choices go in by name: the order of the enumerators must not matter.
void add_protocol(ByteWriter& writer, const Protocol& protocol) {
    writer.text(to_string(protocol.optimiser));
    writer.number(protocol.learning_rate);
    writer.number(protocol.beta1);
    writer.number(protocol.beta2);
    writer.number(protocol.weight_decay);
    writer.number(protocol.epsilon);
    writer.number(protocol.max_steps);
    writer.number(protocol.patience);
    writer.number(protocol.stop_accuracy);
    writer.text(to_string(protocol.schedule));
    writer.number(protocol.warmup_steps);
    writer.text(to_string(protocol.target));
    writer.text(to_string(protocol.init));
    writer.number(protocol.init_scale);
}

}  // namespace

Id128 trial_id(const Trial& trial, const ModelFacts& model) {
    ByteWriter writer;
    writer.text(kTrialRule);
    writer.text(model.config_sha256);
    writer.text(model.weights_sha256);
    writer.array(trial.prefix);
    writer.array(trial.text);
    writer.number(trial.memory_vectors);
    writer.number(trial.seed);
    writer.text(to_string(trial.precision));
    add_protocol(writer, trial.protocol);
    return hash128(writer.bytes());
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
