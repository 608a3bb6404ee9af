// Text form of 128-bit ids.
#include "memcap/base/ids.hpp"

#include <fmt/format.h>

#include <charconv>

#include "memcap/base/errors.hpp"

namespace memcap {

std::string Id128::hex() const {
    return fmt::format("{:016x}{:016x}", high, low);
}

Id128 Id128::from_hex(std::string_view text) {
    Id128 id;
    const auto parse = [](std::string_view digits, std::uint64_t& value) {
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        return error == std::errc{} && end == digits.data() + digits.size();
    };
    if (text.size() != 32 || !parse(text.substr(0, 16), id.high) || !parse(text.substr(16), id.low)) {
        throw UsageError({.what = fmt::format("'{}' is not a trial id", text),
                          .where = {},
                          .why = "an id has 32 hexadecimal digits",
                          .advice = "Copy one from the column trial_id of results.h5"});
    }
    return id;
}

}  // namespace memcap
