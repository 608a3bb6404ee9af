// What the journal says of attempts at trials beside their results: when and where each began, and how it
// ended.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/base/ids.hpp"

namespace memcap::store {

/// `resumed`: began, with a checkpoint to go on from. `failed`: and will be tried again. `lost`: its worker
/// fell silent.
enum class AttemptEvent : std::uint8_t { started, resumed, failed, crashed, lost, given_back };

/// One event of some attempts on one worker.
struct AttemptsPayload {
    struct Attempt {
        Id128 trial;
        std::int32_t number = 1;
    };
    AttemptEvent event = AttemptEvent::started;
    std::string utc;  ///< by rank 0's clock
    std::int32_t rank = -1;
    std::string host;
    std::string device;
    std::string reason;  ///< empty where the event says it all
    std::vector<Attempt> attempts;
};

Bytes encode(const AttemptsPayload& payload);
/// Throws TransportError.
AttemptsPayload decode_attempts(std::span<const std::byte> bytes);

}  // namespace memcap::store
