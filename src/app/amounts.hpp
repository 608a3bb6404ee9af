// Amounts in words: numbers with a decimal prefix.
#pragma once

#include <cstdint>
#include <string>

namespace memcap::app {

/// Three digits with a decimal prefix: 1234567 B -> 1.23 MB.
std::string scaled(double value, const char* unit);
std::string bytes_text(std::int64_t bytes);

}  // namespace memcap::app
