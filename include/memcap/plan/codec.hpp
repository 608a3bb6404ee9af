// Trials as bytes: the payload that travels to the workers.
#pragma once

#include <cstddef>
#include <span>

#include "memcap/base/bytes.hpp"
#include "memcap/plan/trial.hpp"

namespace memcap::plan {

Bytes encode(const Trial& trial);

/// Reads encode()'s bytes; throws TransportError if they are cut, too long or hold a value that no trial has.
Trial decode_trial(std::span<const std::byte> bytes);

}  // namespace memcap::plan
