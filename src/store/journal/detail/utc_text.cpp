// Reading ISO 8601.
#include "store/journal/detail/utc_text.hpp"

#include <array>
#include <ctime>

namespace memcap::store::detail {

std::int64_t seconds_of(const std::string& utc) {
    std::tm parts{};
    if (::strptime(utc.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts) == nullptr) return 0;
    return ::timegm(&parts);
}

std::string utc_of(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    if (::gmtime_r(&time, &parts) == nullptr) return "";
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text.data();
}

}  // namespace memcap::store::detail
