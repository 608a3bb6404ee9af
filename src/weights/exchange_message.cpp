// Codec of the exchange's messages: a number for the kind, then the fields in order.
#include "weights/exchange_message.hpp"

#include <cstring>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"

namespace memcap::weights {

namespace {

using namespace exchange;

// Numbers of the kinds are their places in the variant.
constexpr std::uint64_t kChunkKind = 4;
constexpr std::size_t kChecksumOffset = 3 * sizeof(std::uint64_t);
constexpr std::size_t kChunkHeaderBytes = 4 * sizeof(std::uint64_t);
static_assert(std::is_same_v<std::variant_alternative_t<kChunkKind, ExchangeMessage>, Chunk>);

void write(ByteWriter& out, const std::vector<FileHeader>& files) {
    out.number(static_cast<std::uint64_t>(files.size()));
    for (const auto& file : files) {
        out.text(file.name);
        out.number(file.size_bytes);
    }
}

std::vector<FileHeader> read_files(ByteReader& in) {
    std::vector<FileHeader> files;
    for (auto count = in.number<std::uint64_t>(); count > 0; --count) {
        FileHeader& file = files.emplace_back();
        file.name = in.text();
        file.size_bytes = in.number<std::uint64_t>();
    }
    return files;
}

void write(ByteWriter& out, const Want& want) {
    for (const auto* text : {&want.key, &want.node, &want.device}) out.text(*text);
}
void write(ByteWriter& out, const Alone& alone) {
    out.text(alone.key);
    out.text(alone.reason);
}
void write(ByteWriter& out, const Formed& formed) {
    out.text(formed.key);
    out.number(formed.group);
    out.number(static_cast<std::uint64_t>(formed.members.size()));
    for (const auto& member : formed.members) {
        out.number(member.rank);
        out.text(member.node);
        out.text(member.device);
    }
}
void write(ByteWriter& out, const Announce& announce) {
    out.number(announce.group);
    write(out, announce.files);
    out.number(announce.chunk_bytes);
    out.text(announce.nccl_id);
}
void write(ByteWriter& out, const Chunk& chunk) {
    out.number(chunk.group);
    out.number(chunk.index);
    out.number(chunk.checksum);
    out.raw(chunk.payload);
}
void write(ByteWriter& out, const Progress& progress) {
    out.number(progress.group);
}
void write(ByteWriter& out, const Joined& joined) {
    out.number(joined.group);
}
void write(ByteWriter& out, const Arrived& arrived) {
    out.number(arrived.group);
    out.text(arrived.memory_key);
    write(out, arrived.files);
}
void write(ByteWriter& out, const Abort& abort) {
    out.number(abort.group);
    out.text(abort.reason);
}

Formed read_formed(ByteReader& in) {
    Formed formed;
    formed.key = in.text();
    formed.group = in.number<std::uint64_t>();
    for (auto count = in.number<std::uint64_t>(); count > 0; --count) {
        Member& member = formed.members.emplace_back();
        member.rank = in.number<sched::Rank>();
        member.node = in.text();
        member.device = in.text();
    }
    return formed;
}

Announce read_announce(ByteReader& in) {
    Announce announce;
    announce.group = in.number<std::uint64_t>();
    announce.files = read_files(in);
    announce.chunk_bytes = in.number<std::uint64_t>();
    announce.nccl_id = in.text();
    return announce;
}

Chunk read_chunk(std::span<const std::byte> bytes) {
    ByteReader in(bytes);
    in.number<std::uint64_t>();
    Chunk chunk;
    chunk.group = in.number<std::uint64_t>();
    chunk.index = in.number<std::uint64_t>();
    chunk.checksum = in.number<std::uint64_t>();
    chunk.payload = bytes.subspan(kChunkHeaderBytes);
    return chunk;
}

ExchangeMessage read_other(ByteReader& in, std::uint64_t kind) {
    switch (kind) {
        case 0: {
            Want want{in.text(), {}, {}};
            want.node = in.text();
            want.device = in.text();
            return want;
        }
        case 1: {
            Alone alone{in.text(), {}};
            alone.reason = in.text();
            return alone;
        }
        case 2:
            return read_formed(in);
        case 3:
            return read_announce(in);
        case 5:
            return Progress{in.number<std::uint64_t>()};
        case 6: {
            Arrived arrived{in.number<std::uint64_t>(), {}, {}};
            arrived.memory_key = in.text();
            arrived.files = read_files(in);
            return arrived;
        }
        case 7: {
            Abort abort{in.number<std::uint64_t>(), {}};
            abort.reason = in.text();
            return abort;
        }
        case 8:
            return Joined{in.number<std::uint64_t>()};
        default:
            throw TransportError({.what = "a message of the weight exchange is of no known kind",
                                  .where = {},
                                  .why = "it was cut, or written by another version of memcap",
                                  .advice = "Use one version of memcap for all ranks"});
    }
}

}  // namespace

Bytes encode(const WeightTimes& times) {
    ByteWriter out;
    out.text(times.model);
    out.number(times.way);
    out.number(times.size_bytes);
    for (const double seconds : {times.read_s, times.broadcast_s, times.upload_s}) out.number(seconds);
    return std::move(out).bytes();
}

WeightTimes decode_weight_times(std::span<const std::byte> bytes) {
    ByteReader in(bytes);
    WeightTimes times;
    times.model = in.text();
    times.way = in.number<WeightWay>();
    times.size_bytes = in.number<std::uint64_t>();
    for (double* seconds : {&times.read_s, &times.broadcast_s, &times.upload_s}) {
        *seconds = in.number<double>();
    }
    in.expect_end();
    return times;
}

Bytes encode(const ExchangeMessage& message) {
    ByteWriter out;
    out.number(static_cast<std::uint64_t>(message.index()));
    std::visit([&out](const auto& fields) { write(out, fields); }, message);
    return std::move(out).bytes();
}

ExchangeMessage decode_exchange(std::span<const std::byte> bytes) {
    ByteReader in(bytes);
    const auto kind = in.number<std::uint64_t>();
    if (kind == kChunkKind) return read_chunk(bytes);
    ExchangeMessage message = read_other(in, kind);
    in.expect_end();
    return message;
}

std::size_t chunk_bytes(std::size_t payload_bytes) {
    return kChunkHeaderBytes + payload_bytes;
}

Bytes make_chunk(std::uint64_t group, std::uint64_t index, std::size_t payload_bytes) {
    Bytes bytes(chunk_bytes(payload_bytes));
    const std::uint64_t header[] = {kChunkKind, group, index, 0};
    std::memcpy(bytes.data(), header, sizeof(header));
    return bytes;
}

std::span<std::byte> payload_of(Bytes& chunk) {
    MEMCAP_EXPECT(chunk.size() >= kChunkHeaderBytes);
    return std::span(chunk).subspan(kChunkHeaderBytes);
}

void seal_chunk(Bytes& chunk) {
    const std::uint64_t checksum = hash64(payload_of(chunk));
    std::memcpy(chunk.data() + kChecksumOffset, &checksum, sizeof(checksum));
}

}  // namespace memcap::weights
