// What a compute process is told about itself by its agent.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "app/machine.hpp"
#include "memcap/base/bytes.hpp"

namespace memcap::app {

struct ComputePlace {
    std::int32_t rank = 0;
    std::int32_t ranks = 1;
    std::int32_t local_rank = 0;  ///< among the ranks of its host
    std::int32_t nodes = 1;       ///< of the run
    std::int32_t threads = 1;     ///< its share of the host's CPUs
    DeviceKind device = DeviceKind::automatic;
    std::string host;
    std::string node;  ///< whose ranks share memory
};

Bytes encode(const ComputePlace& place);
/// Throws TransportError if the bytes are damaged.
ComputePlace decode_place(std::span<const std::byte> bytes);

}  // namespace memcap::app
