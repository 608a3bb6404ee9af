// Two byte strings, the second one empty where a trial starts anew.
#include "app/lease_payload.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "memcap/plan/codec.hpp"

namespace memcap::app {

namespace {

std::string_view as_text(const Bytes& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Bytes encode(const LeasePayload& payload) {
    ByteWriter out;
    out.text(as_text(plan::encode(payload.trial)));
    out.text(payload.checkpoint ? as_text(*payload.checkpoint) : std::string_view());
    return std::move(out).bytes();
}

LeasePayload decode_lease_payload(std::span<const std::byte> bytes) {
    ByteReader in(bytes);
    LeasePayload payload;
    const std::string trial = in.text();
    payload.trial = plan::decode_trial(std::as_bytes(std::span(trial)));
    const std::string checkpoint = in.text();
    in.expect_end();
    const auto raw = std::as_bytes(std::span(checkpoint));
    if (!raw.empty()) payload.checkpoint.emplace(raw.begin(), raw.end());
    return payload;
}

}  // namespace memcap::app
