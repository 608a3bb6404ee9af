// Times of records as numbers.
#pragma once

#include <cstdint>
#include <string>

namespace memcap::store::detail {

/// Seconds since 1970 of what utc_now() writes; 0 if it is something else.
std::int64_t seconds_of(const std::string& utc);

/// As utc_now() writes it.
std::string utc_of(std::int64_t seconds);

}  // namespace memcap::store::detail
