// Field by field, in the order in which they are declared.
#include "app/compute_place.hpp"

#include <utility>

namespace memcap::app {

Bytes encode(const ComputePlace& place) {
    ByteWriter out;
    for (const std::int32_t number : {place.rank, place.ranks, place.local_rank, place.nodes, place.threads})
        out.number(number);
    out.number(place.device);
    out.text(place.host);
    out.text(place.node);
    return std::move(out).bytes();
}

ComputePlace decode_place(std::span<const std::byte> bytes) {
    ByteReader in(bytes);
    ComputePlace place;
    for (std::int32_t* number : {&place.rank, &place.ranks, &place.local_rank, &place.nodes, &place.threads})
        *number = in.number<std::int32_t>();
    place.device = in.number<DeviceKind>();
    place.host = in.text();
    place.node = in.text();
    in.expect_end();
    return place;
}

}  // namespace memcap::app
