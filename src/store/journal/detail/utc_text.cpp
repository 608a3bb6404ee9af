// Reading ISO 8601.
#include "store/journal/detail/utc_text.hpp"

#include <ctime>

namespace memcap::store::detail {

std::int64_t seconds_of(const std::string& utc) {
    std::tm parts{};
    if (::strptime(utc.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts) == nullptr) return 0;
    return ::timegm(&parts);
}

}  // namespace memcap::store::detail
