// What travels with a leased task: the trial, and how far an earlier attempt came.
#pragma once

#include <optional>
#include <span>

#include "memcap/base/bytes.hpp"
#include "memcap/plan/trial.hpp"

namespace memcap::app {

struct LeasePayload {
    plan::Trial trial;
    std::optional<Bytes> checkpoint;  ///< of memory::SlotState
};

Bytes encode(const LeasePayload& payload);
/// Throws TransportError if the bytes are damaged.
LeasePayload decode_lease_payload(std::span<const std::byte> bytes);

}  // namespace memcap::app
