// UTF-8: where a text stops being it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace memcap {

/// The offset of the first byte that belongs to no well-formed sequence (Unicode standard, table 3-7: no
/// surrogates, no overlong forms, nothing beyond U+10FFFF), or nothing.
std::optional<std::size_t> find_invalid_utf8(std::string_view bytes);

/// The bytes as UTF-8, each that belongs to no well-formed sequence written as \xNN: for messages.
std::string printable(std::string_view bytes);

}  // namespace memcap
