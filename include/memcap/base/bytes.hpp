// Byte strings with fixed layout: little-endian numbers, length-prefixed strings and arrays.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/base/ids.hpp"

namespace memcap {

static_assert(std::endian::native == std::endian::little, "memcap writes its numbers as they lie in memory");

using Bytes = std::vector<std::byte>;

/// Appends values to a byte string.
class ByteWriter {
  public:
    template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void number(T value) {
        append(&value, sizeof(value));
    }
    void id(const Id128& id) {
        number(id.high);
        number(id.low);
    }
    /// A 64-bit length, then the bytes.
    void text(std::string_view text) {
        number(static_cast<std::uint64_t>(text.size()));
        append(text.data(), text.size());
    }
    /// A 64-bit count, then the elements.
    template <class T>
    requires std::is_arithmetic_v<T>
    void array(std::span<const T> values) {
        number(static_cast<std::uint64_t>(values.size()));
        append(values.data(), values.size_bytes());
    }
    template <class T>
    void array(const std::vector<T>& values) {
        array(std::span<const T>(values));
    }
    /// The bytes alone, without a length.
    void raw(std::span<const std::byte> bytes) { append(bytes.data(), bytes.size()); }
    const Bytes& bytes() const& { return bytes_; }
    Bytes&& bytes() && { return std::move(bytes_); }

  private:
    void append(const void* data, std::size_t size_bytes) {
        if (size_bytes == 0) return;
        // Not insert(): g++ 12 warns of an overflow there (-O3) that cannot happen.
        const std::size_t before = bytes_.size();
        bytes_.resize(before + size_bytes);
        std::memcpy(bytes_.data() + before, data, size_bytes);
    }

    Bytes bytes_;
};

/// Reads what ByteWriter wrote; throws TransportError when the bytes end too early.
class ByteReader {
  public:
    /// `bytes` must outlive the reader.
    explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}

    template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) T number() {
        T value{};
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }
    Id128 id() {
        const auto high = number<std::uint64_t>();
        return Id128{high, number<std::uint64_t>()};
    }
    std::string text() {
        const auto bytes = take(number<std::uint64_t>());
        return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    template <class T>
    requires std::is_arithmetic_v<T> std::vector<T> array() {
        const auto count = number<std::uint64_t>();
        if (count > rest_.size() / sizeof(T)) fail();
        const auto bytes = take(count * sizeof(T));
        std::vector<T> values(count);
        if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
        return values;
    }
    /// What is left.
    std::span<const std::byte> rest() const noexcept { return rest_; }
    bool at_end() const noexcept { return rest_.empty(); }
    /// Throws if bytes are left: the writer knew of something the reader does not.
    void expect_end() const {
        if (!at_end()) fail();
    }

  private:
    std::span<const std::byte> take(std::uint64_t count) {
        if (count > rest_.size()) fail();
        const auto taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }
    [[noreturn]] static void fail() {
        throw TransportError({.what = "a message or record does not have the expected layout",
                              .where = {},
                              .why = "it was cut, or written by another version of memcap",
                              .advice = "Use one version of memcap for all ranks and for the run folder"});
    }

    std::span<const std::byte> rest_;
};

}  // namespace memcap
