// Amounts in words: numbers with a decimal prefix, or with their digits in groups.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace memcap::app {

/// Three digits with a decimal prefix: 1234567 B -> 1.23 MB.
std::string scaled(double value, const char* unit);
std::string bytes_text(std::int64_t bytes);
/// Digits in groups of three: 1234567 -> "1,234,567".
std::string grouped(std::int64_t value);
/// "1 trial", "1,234 trials".
std::string count_text(std::int64_t count, std::string_view noun);

}  // namespace memcap::app
