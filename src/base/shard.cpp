// Text form of shards.
#include "memcap/base/shard.hpp"

#include <charconv>

namespace memcap {

std::optional<Shard> parse_shard(std::string_view text) {
    Shard shard;
    const char* const end = text.data() + text.size();
    const auto index = std::from_chars(text.data(), end, shard.index);
    if (index.ec != std::errc{} || index.ptr == end || *index.ptr != '/') return std::nullopt;
    const auto count = std::from_chars(index.ptr + 1, end, shard.count);
    if (count.ec != std::errc{} || count.ptr != end || shard.index >= shard.count) return std::nullopt;
    return shard;
}

}  // namespace memcap
