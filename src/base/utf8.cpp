// Table 3-7 of the Unicode standard as a check.
#include "memcap/base/utf8.hpp"

#include <fmt/format.h>

namespace memcap {

namespace {

/// The length of the well-formed sequence at the start of `bytes`, 0 if there is none.
std::size_t sequence_length(std::string_view bytes) {
    const auto byte = [&](std::size_t i) {
        return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U;
    };
    const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return 0;
    // The second byte rules out overlong forms (E0, F0), surrogates (ED) and what lies beyond U+10FFFF (F4).
    const unsigned lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (byte(1) < lowest || byte(1) > highest) return 0;
    if (first < 0xE0) return 2;
    if (!continues(2)) return 0;
    if (first < 0xF0) return 3;
    return continues(3) ? 4 : 0;
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t length = sequence_length(bytes.substr(at, 4));
        if (length == 0) return at;
        at += length;
    }
    return std::nullopt;
}

std::string printable(std::string_view bytes) {
    std::string text;
    while (const auto invalid = find_invalid_utf8(bytes)) {
        const auto byte = static_cast<unsigned>(static_cast<unsigned char>(bytes[*invalid]));
        text += fmt::format("{}\\x{:02x}", bytes.substr(0, *invalid), byte);
        bytes.remove_prefix(*invalid + 1);
    }
    return text.append(bytes);
}

}  // namespace memcap
