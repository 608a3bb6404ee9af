// Identifiers: the 128-bit content hash of a trial, and strong integers that cannot be mixed up.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace memcap {

/// A 128-bit content hash.
struct Id128 {
    std::uint64_t high = 0;
    std::uint64_t low = 0;

    auto operator<=>(const Id128&) const = default;
    /// 32 lower-case hexadecimal digits.
    std::string hex() const;
    /// Parses what hex() prints, also in capitals; throws UsageError for anything else.
    static Id128 from_hex(std::string_view text);
};

/// An integer that converts to no other: `struct LeaseTag; using LeaseId = StrongId<LeaseTag>;`
template <class Tag, class Value = std::uint64_t>
struct StrongId {
    Value value{};
    auto operator<=>(const StrongId&) const = default;
};

}  // namespace memcap

template <>
struct std::hash<memcap::Id128> {
    std::size_t operator()(const memcap::Id128& id) const noexcept { return id.low ^ (id.high * 31); }
};

template <class Tag, class Value>
struct std::hash<memcap::StrongId<Tag, Value>> {
    std::size_t operator()(const memcap::StrongId<Tag, Value>& id) const noexcept {
        return std::hash<Value>{}(id.value);
    }
};
