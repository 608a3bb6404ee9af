// The layout of an encoded trial.
#include "memcap/plan/codec.hpp"

#include <cstdint>

namespace memcap::plan {

namespace {

void write_protocol(ByteWriter& writer, const Protocol& protocol) {
    writer.number(protocol.optimiser);
    writer.number(protocol.learning_rate);
    writer.number(protocol.beta1);
    writer.number(protocol.beta2);
    writer.number(protocol.weight_decay);
    writer.number(protocol.epsilon);
    writer.number(protocol.max_steps);
    writer.number(protocol.patience);
    writer.number(protocol.stop_accuracy);
    writer.number(protocol.schedule);
    writer.number(protocol.warmup_steps);
    writer.number(protocol.target);
    writer.number(protocol.init);
    writer.number(protocol.init_scale);
}

void check(bool is_sound) {
    if (is_sound) return;
    throw TransportError({.what = "an encoded trial holds a value that no trial has",
                          .where = {},
                          .why = "it was damaged, or written by another version of memcap",
                          .advice = "Use one version of memcap for all ranks"});
}

/// An enumerator, `last` being the highest there is.
template <class Enum>
Enum read_choice(ByteReader& reader, Enum last) {
    const auto value = reader.number<Enum>();
    check(value <= last);
    return value;
}

Protocol read_protocol(ByteReader& reader) {
    Protocol protocol;
    protocol.optimiser = read_choice(reader, OptimiserKind::adamw);
    protocol.learning_rate = reader.number<double>();
    protocol.beta1 = reader.number<double>();
    protocol.beta2 = reader.number<double>();
    protocol.weight_decay = reader.number<double>();
    protocol.epsilon = reader.number<double>();
    protocol.max_steps = reader.number<std::int32_t>();
    protocol.patience = reader.number<std::int32_t>();
    protocol.stop_accuracy = reader.number<double>();
    protocol.schedule = read_choice(reader, Schedule::linear);
    protocol.warmup_steps = reader.number<std::int32_t>();
    protocol.target = read_choice(reader, Target::all);
    protocol.init = read_choice(reader, InitKind::normal);
    protocol.init_scale = reader.number<double>();
    check(protocol.max_steps >= 1 && protocol.patience >= 1);
    check(protocol.warmup_steps >= 0 && protocol.warmup_steps < protocol.max_steps);
    return protocol;
}

}  // namespace

Bytes encode(const Trial& trial) {
    ByteWriter writer;
    writer.id(trial.id);
    writer.number(trial.model);
    writer.array(trial.prefix);
    writer.array(trial.text);
    writer.number(trial.memory_vectors);
    writer.number(trial.seed);
    writer.number(trial.precision);
    write_protocol(writer, trial.protocol);
    return std::move(writer).bytes();
}

Trial decode_trial(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    Trial trial;
    trial.id = reader.id();
    trial.model = reader.number<std::int32_t>();
    trial.prefix = reader.array<std::int32_t>();
    trial.text = reader.array<std::int32_t>();
    trial.memory_vectors = reader.number<std::int32_t>();
    trial.seed = reader.number<std::uint64_t>();
    trial.precision = read_choice(reader, Precision::tf32);
    trial.protocol = read_protocol(reader);
    reader.expect_end();
    check(trial.model >= 0 && !trial.text.empty() && trial.memory_vectors >= 1);
    return trial;
}

}  // namespace memcap::plan
