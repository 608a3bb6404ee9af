// A number for the kind, then its fields.
#include "app/worker_note.hpp"

#include <cstdint>
#include <utility>

namespace memcap::app {

Bytes encode(const WorkerNote& note) {
    ByteWriter out;
    out.number(static_cast<std::uint8_t>(note.index()));
    if (const auto* times = std::get_if<weights::WeightTimes>(&note)) {
        out.raw(weights::encode(*times));
    } else {
        out.text(std::get<DeviceNote>(note).device);
    }
    return std::move(out).bytes();
}

WorkerNote decode_note(std::span<const std::byte> bytes) {
    ByteReader in(bytes);
    if (in.number<std::uint8_t>() == 0) return weights::decode_weight_times(bytes.subspan(1));
    DeviceNote note{in.text()};
    in.expect_end();
    return note;
}

}  // namespace memcap::app
