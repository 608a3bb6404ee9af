// The table of protocol keys: what an experiment file may say of a protocol. Reading and writing of files,
// journals and result tables, ids of trials and the documentation walk it, so that a new key is one entry
// here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/base/protocol.hpp"

namespace memcap {

/// A condition on a number, and its words: "a number above 0".
struct NumberRange {
    bool (*is_allowed)(double);
    std::string_view allowed;
};

struct NumberField {
    double Protocol::*member;
    NumberRange range;
};
/// Two numbers of one range, as [0.9, 0.9].
struct PairField {
    double Protocol::*first;
    double Protocol::*second;
    NumberRange range;
};
/// A whole number.
struct CountField {
    std::int32_t Protocol::*member;
    std::int32_t least;
};
/// One of a few names; a choice's number is its place among them.
struct ChoiceField {
    std::span<const std::string_view> names;
    std::uint8_t (*get)(const Protocol&);
    void (*set)(Protocol&, std::uint8_t);
};

/// A value, which is a column of /protocols.
struct ProtocolField {
    std::string_view column;
    std::string_view meaning;
    std::variant<NumberField, PairField, CountField, ChoiceField> value;
};

/// A key of an experiment file. One with several fields is a list of them, or the first of them alone.
struct ProtocolKey {
    std::string_view name;
    std::string_view allowed;  ///< of a key that may be a list
    std::string_view meaning;  ///< for the documentation
    /// The rule that made it part of a trial's identity. What rule 1 knows is in every id; a later key is
    /// only where it differs from its default, so that ids of trials that do without it stay as they are.
    std::int32_t rule;
    std::vector<ProtocolField> fields;
};

std::span<const ProtocolKey> protocol_keys();

/// Whether both have the same values of this key.
bool is_equal(const ProtocolKey& key, const Protocol& a, const Protocol& b);

/// The values of a field as an experiment file has them: one, or two of a pair.
std::vector<std::string> texts_of(const ProtocolField& field, const Protocol& protocol);

/// What trial ids are hashed from: choices by name, since the order of names must not matter.
void write_identity(ByteWriter& writer, const Protocol& protocol);

/// For messages and journals: the keys of rule 1, then those later ones that differ from their default, each
/// behind its name.
void write(ByteWriter& writer, const Protocol& protocol);
/// Throws TransportError for values that write() cannot have written.
void read(ByteReader& reader, Protocol& protocol);
/// Only the keys of rule 1: what there was before there were later ones.
void read_first_keys(ByteReader& reader, Protocol& protocol);

}  // namespace memcap
