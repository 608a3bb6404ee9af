// Decimal prefixes.
#include "app/amounts.hpp"

#include <fmt/format.h>

#include <array>

namespace memcap::app {

std::string scaled(double value, const char* unit) {
    constexpr std::array kPrefixes{"", "k", "M", "G", "T", "P"};
    std::size_t prefix = 0;
    for (; value >= 999.5 && prefix + 1 < kPrefixes.size(); ++prefix) value /= 1000.0;
    return fmt::format("{:.3g} {}{}", value, kPrefixes[prefix], unit);
}

std::string bytes_text(std::int64_t bytes) {
    return scaled(static_cast<double>(bytes), "B");
}

std::string counted(std::uint64_t number, std::string_view noun) {
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

}  // namespace memcap::app
