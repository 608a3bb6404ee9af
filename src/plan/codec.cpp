// The layout of an encoded trial.
#include "memcap/plan/codec.hpp"

#include <cstdint>

#include "memcap/base/protocol_keys.hpp"

namespace memcap::plan {

namespace {

void check(bool is_sound) {
    if (is_sound) return;
    throw TransportError({.what = "an encoded trial holds a value that no trial has",
                          .where = {},
                          .why = "it was damaged, or written by another version of memcap",
                          .advice = "Use one version of memcap for all ranks"});
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
    write(writer, trial.protocol);
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
    trial.precision = reader.number<Precision>();
    check(trial.precision <= Precision::tf32);
    read(reader, trial.protocol);
    reader.expect_end();
    check(trial.model >= 0 && !trial.text.empty() && trial.memory_vectors >= 1);
    return trial;
}

}  // namespace memcap::plan
