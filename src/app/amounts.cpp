// Decimal prefixes and groups of digits.
#include "app/amounts.hpp"

#include <fmt/format.h>

#include <array>

namespace memcap::app {

std::string scaled(double value, const char* unit) {
    constexpr std::array kPrefixes{"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
    std::size_t prefix = 0;
    for (; value >= 999.5 && prefix + 1 < kPrefixes.size(); ++prefix) value /= 1000.0;
    return fmt::format("{:.3g} {}{}", value, kPrefixes[prefix], unit);
}

std::string bytes_text(std::int64_t bytes) {
    return scaled(static_cast<double>(bytes), "B");
}

std::string grouped(std::int64_t value) {
    std::string digits = fmt::format("{}", value);
    const std::size_t first = value < 0 ? 1 : 0;
    for (std::size_t end = digits.size(); end > first + 3;) {
        end -= 3;
        digits.insert(end, 1, ',');
    }
    return digits;
}

std::string count_text(std::int64_t count, std::string_view noun) {
    return fmt::format("{} {}{}", grouped(count), noun, count == 1 ? "" : "s");
}

}  // namespace memcap::app
