// The frame of attempts as bytes.
#include "memcap/store/journal/attempts.hpp"

#include "memcap/base/errors.hpp"

namespace memcap::store {

Bytes encode(const AttemptsPayload& payload) {
    ByteWriter writer;
    writer.number(static_cast<std::uint8_t>(payload.event));
    writer.text(payload.utc);
    writer.number(payload.rank);
    writer.text(payload.host);
    writer.text(payload.device);
    writer.text(payload.reason);
    writer.number(static_cast<std::uint32_t>(payload.attempts.size()));
    for (const auto& attempt : payload.attempts) {
        writer.id(attempt.trial);
        writer.number(attempt.number);
    }
    return std::move(writer).bytes();
}

AttemptsPayload decode_attempts(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    AttemptsPayload payload;
    const auto event = reader.number<std::uint8_t>();
    if (event > static_cast<std::uint8_t>(AttemptEvent::given_back)) {
        throw TransportError({.what = "an event of attempts that this memcap does not know",
                              .where = {},
                              .why = {},
                              .advice = "Use the memcap that wrote it"});
    }
    payload.event = static_cast<AttemptEvent>(event);
    payload.utc = reader.text();
    payload.rank = reader.number<std::int32_t>();
    payload.host = reader.text();
    payload.device = reader.text();
    payload.reason = reader.text();
    const auto count = reader.number<std::uint32_t>();
    for (std::uint32_t attempt = 0; attempt < count; ++attempt) {
        const Id128 trial = reader.id();
        payload.attempts.push_back({trial, reader.number<std::int32_t>()});
    }
    reader.expect_end();
    return payload;
}

}  // namespace memcap::store
