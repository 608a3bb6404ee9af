// The bytes of a trial's state, field by field in the order in which they are declared.
#include <utility>

#include "memcap/base/bytes.hpp"
#include "memcap/memory/slots.hpp"

namespace memcap::memory {

namespace {

// Since 2 with the basis of a trial that SOAP optimises.
constexpr std::uint16_t kVersion = 2;
constexpr std::uint16_t kOldestVersion = 1;

/// One list of fields for both directions.
template <class State, class Field>
void each_field(State& state, std::uint16_t version, const Field& field) {
    field(state.memory);
    field(state.first_moment);
    field(state.second_moment);
    field(state.best_memory);
    field(state.evaluations);
    field(state.best_evaluation);
    field(state.best_correct);
    field(state.best_loss_nats);
    field(state.loss_min_nats);
    field(state.loss_nomem_nats);
    field(state.accuracy_nomem);
    field(state.curve.evaluation);
    field(state.curve.loss_nats);
    field(state.curve.accuracy);
    field(state.elapsed_s);
    if (version < 2) return;
    field(state.basis);
    field(state.scatter);
    field(state.renewed);
}

}  // namespace

Bytes encode(const SlotState& state) {
    ByteWriter out;
    out.number(kVersion);
    each_field(state, kVersion, [&out]<class T>(const T& value) {
        if constexpr (std::is_arithmetic_v<T>) {
            out.number(value);
        } else {
            out.array(value);
        }
    });
    return std::move(out).bytes();
}

SlotState decode_slot_state(std::span<const std::byte> bytes) {
    ByteReader in(bytes);
    const auto version = in.number<std::uint16_t>();
    if (version < kOldestVersion || version > kVersion) {
        throw TransportError({.what = "a checkpoint cannot be read",
                              .where = {},
                              .why = "another version of memcap wrote it",
                              .advice = {}});
    }
    SlotState state;
    each_field(state, version, [&in]<class T>(T& value) {
        if constexpr (std::is_arithmetic_v<T>) {
            value = in.number<T>();
        } else {
            value = in.array<typename T::value_type>();
        }
    });
    in.expect_end();
    return state;
}

}  // namespace memcap::memory
