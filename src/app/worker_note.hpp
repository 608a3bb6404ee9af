// What workers tell rank 0 beside results: facts for the record of a launch.
#pragma once

#include <span>
#include <string>
#include <variant>

#include "memcap/base/bytes.hpp"
#include "memcap/weights/weight_exchange.hpp"

namespace memcap::app {

/// The device that a worker computes on, as the records name it.
struct DeviceNote {
    std::string device;
};

using WorkerNote = std::variant<weights::WeightTimes, DeviceNote>;

Bytes encode(const WorkerNote& note);
/// Throws TransportError if the bytes are damaged.
WorkerNote decode_note(std::span<const std::byte> bytes);

}  // namespace memcap::app
