// Amounts in words: numbers with a decimal prefix.
#pragma once

#include <string>

namespace memcap::app {

/// Three digits with a decimal prefix: 1234567 B -> 1.23 MB.
std::string scaled(double value, const char* unit);

}  // namespace memcap::app
