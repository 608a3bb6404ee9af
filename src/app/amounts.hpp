// Amounts in words: numbers with a decimal prefix.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace memcap::app {

/// Three digits with a decimal prefix: 1234567 B -> 1.23 MB.
std::string scaled(double value, const char* unit);
std::string bytes_text(std::int64_t bytes);

/// "1 trial", "2 trials".
std::string counted(std::uint64_t number, std::string_view noun);

}  // namespace memcap::app
